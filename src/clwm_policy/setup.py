from setuptools import find_packages, setup

setup(
    name="clwm_policy",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/clwm_policy"]),
        ("share/clwm_policy", ["package.xml"]),
    ],
    zip_safe=False,
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "policy_node = clwm_policy.node:main",
        ],
    },
)
