from setuptools import find_packages, setup

setup(
    name="clwm_evaluation",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/clwm_evaluation"]),
        ("share/clwm_evaluation", ["package.xml"]),
    ],
    zip_safe=False,
    license="Apache-2.0",
)
