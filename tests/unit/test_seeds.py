"""Seeds: no two of them coincide."""

from phd_ops.latents.seeds import RUN_STEP, SEEDS, item_seed, run_seed


def test_the_seeds_of_neighboring_runs_share_no_item():
    """Compared in the low 32 bits, all that PyTorch's CPU generator reads of a seed."""
    seeds = [item_seed(seed, place) % 2**32 for seed in range(100) for place in range(64)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= item_seed(2**64 - 1, place) < 2**64 for place in range(9))


def test_the_first_item_has_the_seed_itself():
    assert item_seed(5, 0) == 5
    # As splitmix64 gives it, so that a workflow's images stay.
    assert [item_seed(0, place) for place in (1, 2)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_the_first_run_has_the_seed_itself_and_seeds_wrap_around():
    assert run_seed(7, 0) == 7
    assert run_seed(SEEDS - 1, 1) == RUN_STEP - 1
