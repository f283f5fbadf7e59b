"""Installs svr_nb. Every value comes from settings.ini, so that nbdev and pip never disagree."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

settings = ConfigParser(delimiters=["="])
settings.read(Path(__file__).parent / "settings.ini", encoding="utf-8")
settings = settings["DEFAULT"]

names = ("lab", "fast", "masks", "course", "docs", "dev")
lab, fast, masks, course, docs, dev = (settings[f"{name}_requirements"].split() for name in names)
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
        "masks": masks,
        "course": lab + course,
        "docs": docs,
        "dev": lab + fast + course + dev,
        "all": lab + fast + masks,
    },
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
