from setuptools import find_packages, setup

setup(
    name="clwm_franka",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/clwm_franka"]),
        ("share/clwm_franka", ["package.xml"]),
    ],
    zip_safe=False,
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "arm_node = clwm_franka.arm_node:main",
            "hand_node = clwm_franka.hand_node:main",
        ],
    },
)
