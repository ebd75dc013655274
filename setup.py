from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    for line in (HERE / "agent/os_update_agent/__init__.py").read_text(encoding="utf-8").splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise ValueError("no __version__ in the package")


setup(
    name="os-update-agent",
    version=version(),
    description="Package updates of a server as OpenStack Heat deployments, with a way back",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="Apache-2.0",
    python_requires=">=3.9",
    package_dir={"": "agent"},
    packages=find_packages("agent"),
    package_data={"os_update_agent": ["config/agent.conf.sample", "install/files/*", "install/units/*"]},
    install_requires=["requests", "distro", "PyYAML", "keystoneauth1", "os-collect-config", "os-apply-config"],
    entry_points={"console_scripts": ["os-update-agent = os_update_agent.__main__:main"]},
    # heat-config looks for a file with the name of the deployment's group; it is linked or copied from here.
    scripts=["hooks/package-update"],
    classifiers=[
        "Environment :: OpenStack",
        "Intended Audience :: System Administrators",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
    ],
)
