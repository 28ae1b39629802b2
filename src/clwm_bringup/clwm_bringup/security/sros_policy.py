"""The table of rights as SROS2's policy.xml (version 0.2.0), from which `ros2 security` makes signed permissions."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from clwm_bringup.security.access_rights import Access

VERSION = "0.2.0"


def to_xml(table: Iterable[Access]) -> str:
    """One enclave for each process, one profile for each node in it; only what is allowed is named."""
    policy = ElementTree.Element("policy", version=VERSION)
    enclaves = ElementTree.SubElement(policy, "enclaves")
    profiles: dict[str, ElementTree.Element] = {}
    for access in table:
        if access.enclave not in profiles:
            enclave = ElementTree.SubElement(enclaves, "enclave", path=access.enclave)
            profiles[access.enclave] = ElementTree.SubElement(enclave, "profiles")
        _add_profile(profiles[access.enclave], access)
    ElementTree.indent(policy)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(policy, encoding="unicode") + "\n"


def _add_profile(profiles: ElementTree.Element, access: Access) -> None:
    profile = ElementTree.SubElement(profiles, "profile", ns="/", node=access.node)
    for kind, right, names in (
        ("topic", "publish", access.publishes),
        ("topic", "subscribe", access.subscribes),
        ("service", "reply", access.serves),
        ("service", "request", access.calls),
        ("action", "execute", access.executes),
        ("action", "call", access.sends),
    ):
        if names:
            rule = ElementTree.SubElement(profile, f"{kind}s", {right: "ALLOW"})
            for name in names:
                ElementTree.SubElement(rule, kind).text = name
