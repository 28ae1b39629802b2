from setuptools import find_packages, setup

setup(
    name="clwm_bringup",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/clwm_bringup"]),
        ("share/clwm_bringup", ["package.xml"]),
    ],
    zip_safe=False,
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "clwm = clwm_bringup.cli:main",
        ],
    },
)
