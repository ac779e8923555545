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
    "pecos-xr-transformer": Peer(
        f"{KINDS}.pecos_xr_transformer", {"steps": 400, "batch": 32}, is_pretrained=True
    ),
    "libmultilabel-tree": Peer(f"{KINDS}.libmultilabel_tree"),
    "annif-omikuji": Peer(
        f"{KINDS}.annif_project", {"project": "omikuji-bonsai", "trained": ["omikuji-bonsai"]}
    ),
    "annif-ensemble": Peer(
        f"{KINDS}.annif_project", {"project": "ensemble", "trained": ["omikuji-bonsai", "mllm"]}
    ),
    "transformers": Peer(
        f"{KINDS}.transformers_classifier",
        {"steps": 1250, "batch": 32, "lr": 1e-4, "head_lr": 0.01},
        is_pretrained=True,
    ),
}
