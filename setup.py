"""Installs svr_nb. Every value comes from settings.ini, so that nbdev and pip never disagree."""

import importlib.util
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithBook(build_py):
    """Puts the notebooks, packed, into the built package: `svr_nb lab` unpacks them."""

    def run(self) -> None:
        """Builds as usual; a checkout's notebooks go along."""
        super().run()
        if self.editable_mode or not (ROOT / "nbs").is_dir():
            return
        source = ROOT / "svr_nb" / "app" / "book_archive.py"
        spec = importlib.util.spec_from_file_location("book_archive", source)
        archive = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(archive)
        target = Path(self.build_lib) / "svr_nb" / "book.zip"
        target.write_bytes(archive.pack(archive.gather(ROOT)))


settings = ConfigParser(delimiters=["="])
settings.read(Path(__file__).parent / "settings.ini", encoding="utf-8")
settings = settings["DEFAULT"]

names = ("lab", "fast", "launch", "masks", "course", "exchange", "data", "docs", "dev")
extras = {name: settings[f"{name}_requirements"].split() for name in names}
lab, fast, launch, masks = (extras[name] for name in ("lab", "fast", "launch", "masks"))
setup(
    name="svr_nb",
    version=settings["version"],
    description=settings["description"],
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author=settings["author"],
    author_email=settings["author_email"],
    url=settings["git_url"],
    project_urls={
        "Documentation": settings["documentation"],
        "Source": settings["git_url"],
        "Issues": f"{settings['git_url']}/issues",
        "Changelog": f"{settings['git_url']}/blob/{settings['branch']}/CHANGELOG.md",
    },
    keywords=settings["keywords"].split(),
    packages=find_packages(include=["svr_nb", "svr_nb.*"]),
    package_data={
        "svr_nb": ["py.typed", "checkpoints/*/*", "sample_photos/*"],
        "svr_nb.view": ["*.js", "*.css", "*.html"],
        "svr_nb.result": ["*.js", "*.css", "*.html"],
    },
    include_package_data=True,
    python_requires=f">={settings['min_python']}",
    install_requires=settings["requirements"].split(),
    extras_require={
        "lab": lab,
        "fast": fast,
        "launch": launch,
        "masks": masks,
        "course": lab + extras["course"],
        "exchange": extras["exchange"],
        "data": extras["data"],
        "docs": extras["docs"],
        "dev": lab + fast + sum((extras[n] for n in ("course", "exchange", "data", "dev")), []),
        "all": lab + fast + launch + masks + extras["data"],
    },
    cmdclass={"build_py": BuildWithBook},
    entry_points={
        "console_scripts": settings["console_scripts"].split(),
        "nbdev": ["svr_nb=svr_nb._modidx:d"],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
    zip_safe=False,
)
