"""The shipped SROS2 policy: exactly what the nodes use, and nothing for anybody else.

SROS2 denies what a policy does not list, so an unauthorised peer is refused when the lists are exact.
Enforcing needs a DDS built with security; the lists are held against the graph of the running nodes.
"""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as xml
from pathlib import Path

import attrs
import pytest

from mppi_maml_ros.nodes.adaptation import AdaptationNode
from mppi_maml_ros.nodes.dynamic_world import DynamicWorldNode
from mppi_maml_ros.nodes.meta_trainer import MetaTrainerNode
from mppi_maml_ros.nodes.mppi_controller import MppiControllerNode

from .conftest import Bench

POLICY = Path(__file__).resolve().parents[2] / "config" / "sros2" / "policy.xml"
# Everything that a node does under any configuration without nav2, for which docs/security.md has more.
ALONE = {"use_sim_time": True, "bond_heartbeat_period": 0.0}
NODES = {
    "mppi_controller": (MppiControllerNode, {**ALONE, "batch_size": 50, "path_source": "topic"}),
    "adaptation": (AdaptationNode, ALONE),
    "dynamic_world": (DynamicWorldNode, {"publish_clock": True}),
    "meta_trainer": (MetaTrainerNode, {"use_sim_time": True}),
}
# Heard where the package of their type is installed, trajectory_msgs.
OPTIONAL = set() if importlib.util.find_spec("trajectory_msgs") else {"/trajectory"}
ACTIONS = ("publish", "subscribe", "reply", "request")
APART = "/sros2_policy"


@attrs.frozen
class Policy:
    """What enclaves may do: (enclave, action) -> full names."""

    allowed: dict[tuple[str, str], frozenset[str]]

    @classmethod
    def read(cls, path: Path) -> Policy:
        allowed: dict[tuple[str, str], set[str]] = {}
        for enclave in xml.parse(path).getroot().iter("enclave"):
            for profile in enclave.iter("profile"):
                for rule in (*profile.iter("topics"), *profile.iter("services")):
                    ((action, verdict),) = rule.items()
                    assert verdict == "ALLOW" and action in ACTIONS
                    names = {full(item.text.strip(), profile.get("ns"), profile.get("node")) for item in rule}
                    assert len(names) == len(rule)
                    allowed.setdefault((enclave.get("path"), action), set()).update(names)
        return cls({key: frozenset(names) for key, names in allowed.items()})

    def permits(self, enclave: str, action: str, name: str) -> bool:
        return name in self.allowed.get((enclave, action), ())

    def may(self, action: str, name: str) -> set[str]:
        """Every enclave that may."""
        return {
            enclave for enclave, what in self.allowed if what == action and self.permits(enclave, what, name)
        }


def full(name: str, namespace: str, node: str) -> str:
    if name.startswith("/"):
        return name
    return f"{namespace.rstrip('/')}/{name.replace('~', node, 1)}"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.read(POLICY)


def test_there_is_one_enclave_for_each_node_and_no_other(policy):
    assert {enclave for enclave, _ in policy.allowed} == {f"/{name}" for name in NODES}


@pytest.fixture
def apart():
    """Nodes in a namespace of their own: names elsewhere may still be known from nodes that have ended."""
    bench = Bench("--ros-args", "--remap", f"__ns:={APART}")
    yield bench
    bench.close()


@pytest.mark.fault(56)
@pytest.mark.parametrize("name", NODES)
def test_a_node_is_allowed_exactly_what_it_does(apart, policy, name):
    kind, parameters = NODES[name]
    node = apart.start(kind, **parameters)
    listed = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
        "request": node.get_client_names_and_types_by_node,
    }
    held = {
        "publish": {publisher.topic_name for publisher in node.publishers},
        "subscribe": {subscription.topic_name for subscription in node.subscriptions},
        "reply": {service.service_name for service in node.services},
        "request": {client.service_name for client in node.clients},
    }
    for action, ask in listed.items():
        allowed = set(policy.allowed.get((f"/{name}", action), ()))
        done = {topic.removeprefix(APART) for topic in held[action]} | (OPTIONAL & allowed)

        def all_are_seen(ask=ask, allowed=allowed, done=done) -> bool:
            done |= {topic.removeprefix(APART) for topic, _ in ask(name, APART)}
            return allowed <= done

        try:
            apart.until(all_are_seen)
        except AssertionError:
            pytest.fail(f"{POLICY.name}: /{name} does not {action} {sorted(allowed - done)}")
        assert not done - allowed, f"{POLICY.name}: /{name} may not {action}"


@pytest.mark.fault(56)
def test_only_the_controller_may_command_the_robot_and_only_adaptation_may_offer_weights(policy):
    assert policy.may("publish", "/cmd_vel") == {"/mppi_controller"}
    assert policy.may("request", "/mppi_controller/swap_weights") == {"/adaptation"}
    assert policy.may("reply", "/mppi_controller/swap_weights") == {"/mppi_controller"}
    assert policy.may("publish", "/mppi_controller/status") == {"/mppi_controller"}
    assert policy.may("publish", "/odom") == {"/dynamic_world"}


@pytest.mark.fault(56)
@pytest.mark.parametrize("peer", ["/intruder", "/", "", "/mppi_controller/x"])
def test_a_peer_without_an_enclave_of_ours_may_do_nothing(policy, peer):
    for (_, action), names in policy.allowed.items():
        assert not any(policy.permits(peer, action, name) for name in names)


@pytest.mark.fault(56)
def test_nobody_may_set_parameters_of_the_nodes(policy):
    for node in NODES:
        for service in ("set_parameters", "set_parameters_atomically"):
            assert policy.may("request", f"/{node}/{service}") == set()


def test_the_policy_holds_no_wildcard_and_no_denial():
    text = POLICY.read_text()
    assert "*" not in text and "DENY" not in text and "?>" == text.splitlines()[0][-2:]
