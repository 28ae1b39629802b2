from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="clwm_description",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/clwm_description"]),
        ("share/clwm_description", ["package.xml"]),
        ("share/clwm_description/robots", [str(path) for path in sorted(Path("robots").iterdir())]),
    ],
    zip_safe=False,
    license="Apache-2.0",
)
