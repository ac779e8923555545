"""The peers that the suite measures, by name."""

from __future__ import annotations

from benchmarks.peers.measuring import Peer

KINDS = "benchmarks.peers.kinds"

PEERS = {
    "omikuji-bonsai": Peer(
        f"{KINDS}.omikuji_tree", {"cluster_k": 100, "max_depth": 3, "cluster_balanced": False}
    ),
    "omikuji-parabel": Peer(f"{KINDS}.omikuji_tree"),
    "napkinxc-plt": Peer(f"{KINDS}.napkinxc_plt"),
    "pecos-xr-linear": Peer(f"{KINDS}.pecos_xr_linear"),
}
