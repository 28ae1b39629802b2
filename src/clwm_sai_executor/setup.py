from setuptools import find_packages, setup

setup(
    name="clwm_sai_executor",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/clwm_sai_executor"]),
        ("share/clwm_sai_executor", ["package.xml"]),
    ],
    zip_safe=False,
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "executor_node = clwm_sai_executor.node:main",
        ],
    },
)
