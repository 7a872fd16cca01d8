"""One landmark sought in 1,000 cached dense maps of 14 x 14 x 512. Last line: `landmark_search RATIO`, at least 20.

Against a loop over images in Python, each with its cosine similarity and its highest cell. Both exact: the cells agree.
"""

import time
from collections.abc import Callable

import torch
from torch.nn.functional import cosine_similarity, normalize

from vesalius.anatomy.search import Maps


def seconds(function: Callable[[], object], times: int) -> float:
    """The least of several runs."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        function()
        found.append(time.perf_counter() - begun)
    return min(found)


def main() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(1000, 512, 14, 14, generator=draw).relu()  # as after a ReLU
    wanted = features[17, :, 3, 9]
    maps, vector = Maps(normalize(features.flatten(2).transpose(1, 2).contiguous(), dim=2)), normalize(wanted, dim=0)

    def loop() -> list[int]:
        return [int(cosine_similarity(one, wanted[:, None, None], dim=0).argmax()) for one in features]

    assert maps.search(vector)[0].tolist() == loop()
    ours, slow = seconds(lambda: maps.search(vector), 20), seconds(loop, 3)
    print(f"search {1e3 * ours:.1f} ms, loop {1e3 * slow:.0f} ms, {torch.get_num_threads()} threads")
    print(f"landmark_search {slow / ours:.1f}")


if __name__ == "__main__":
    main()
