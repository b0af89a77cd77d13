"""The registry on ZooKeeper keeps the contract."""

from tests.contract.registry import RegistryContract
from tests.shared_zookeeper import open_pair


class TestZooKeeperRegistry(RegistryContract):
    open_registry = staticmethod(open_pair)
