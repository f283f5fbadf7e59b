"""Settings of Sphinx for the site. `docs/build.py` writes the pages and calls Sphinx with these."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from site_map import REPOSITORY, SETTINGS, VERSION

project, author, release = "svr_nb", SETTINGS["author"], VERSION
copyright = SETTINGS["copyright"]
extensions = ["myst_nb", "mathml"]
html_theme = "furo"
html_title = "svr_nb"
html_css_files = ["site.css", "panel.css"]
html_js_files = [("panel.js", {"defer": "defer"}), ("site.js", {"defer": "defer"})]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_favicon = "_static/favicon.svg"
html_theme_options = {"navigation_with_keys": False}
html_context = {"repository": REPOSITORY}
# Every colour of these stands out by 4.5 at least from what is behind it.
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "github-dark"
templates_path = ["_templates"]
exclude_patterns = ["_build", "_static"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_number_source_lines = False
nb_code_prompt_show = "Imports"
nb_code_prompt_hide = "Imports"
myst_enable_extensions = [
    "dollarmath",
    "amsmath",
    "colon_fence",
    "attrs_inline",
    "fieldlist",
    "deflist",
]
myst_heading_anchors = 4
myst_dmath_double_inline = True
suppress_warnings = [
    "ref.python",
    "mystnb.unknown_mime_type",
    "myst.header",
    "misc.highlighting_failure",
]
highlight_language = "python"
maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
add_module_names = False
