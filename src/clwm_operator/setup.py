from setuptools import find_packages, setup

setup(
    name="clwm_operator",
    version="0.1.0",
    packages=find_packages(),
    package_data={"clwm_operator.console": ["static/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/clwm_operator"]),
        ("share/clwm_operator", ["package.xml"]),
    ],
    zip_safe=False,
    license="Apache-2.0",
)
