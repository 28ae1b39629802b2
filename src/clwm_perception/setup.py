from setuptools import find_packages, setup

setup(
    name="clwm_perception",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/clwm_perception"]),
        ("share/clwm_perception", ["package.xml"]),
    ],
    zip_safe=False,
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "perception_node = clwm_perception.node:main",
        ],
    },
)
