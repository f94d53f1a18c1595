"""What bears on a campaign's values and what was not counted, for the API and the command."""

from __future__ import annotations

from typing import Any

from campaigns.models import Campaign
from campaigns.serializers.honesty import HonestySerializer
from campaigns.standings import honesty, honesty_parts
from campaigns.standings.honesty import FATES, LOADS, UNKNOWN_LOAD, Tally
from campaigns.standings.honesty_parts import SEED_COUNTS, ClassNoise, DisturbedRun, FirstSeeds


def honesty_data(campaign: Campaign) -> dict[str, Any]:
    """Return the honesty of a freshly loaded campaign as JSON data."""
    tally, noises = honesty.tally(campaign), honesty_parts.class_noises(campaign)
    first = honesty_parts.first_seeds(campaign, noises[0].sd if noises else None)
    slow = honesty_parts.slow_arms(campaign)
    workers, others = honesty_parts.workers_of(campaign)
    spec = campaign.metric_spec
    data: dict[str, Any] = HonestySerializer(
        {
            "metric": spec.name,
            "unit": spec.unit,
            "ended": tally.ended,
            "counted": tally.counted,
            "not_counted": _reasons(tally),
            "open": tally.open,
            "kept": campaign.kept_runs,
            "failure_classes": tally.failures,
            "noise": [_noise(noise) for noise in noises],
            "first_seeds": _first_seeds(first),
            "disturbed": {
                "runs": tally.disturbed,
                "undisturbed": tally.undisturbed,
                "unknown": tally.unknown_speed,
                "slow_setups": tally.slow_setups,
                "newest": [_disturbed(run) for run in honesty_parts.disturbed_runs(campaign)],
            },
            "too_slow_arms": {
                "count": slow.total,
                "first": [{"arm": arm, "why": why} for arm, why in slow.arms],
            },
            "foreign_load": _loads(tally),
            "workers": [_worker(part) for part in workers],
            "other_workers": others,
        }
    ).data
    return data


def _reasons(tally: Tally) -> list[dict[str, Any]]:
    return [
        {"reason": str(fate), "runs": number, "title": FATES[fate][0], "why": FATES[fate][1]}
        for fate, number in tally.not_counted.items()
    ]


def _noise(noise: ClassNoise) -> dict[str, Any]:
    gaps = zip(SEED_COUNTS, noise.gaps, strict=False)
    return {
        "class_id": noise.class_id,
        "words": noise.words,
        "results": noise.results,
        "sd": noise.sd,
        "pairs": noise.pairs,
        "bad_seed_rate": noise.bad_seed_rate,
        "as_of": noise.as_of,
        "visible_gaps": [{"seeds": seeds, "gap": gap} for seeds, gap in gaps],
        "pair_sizes": list(noise.sizes),
    }


def _first_seeds(first: FirstSeeds) -> dict[str, Any]:
    return {
        "flattered_by": first.kinder,
        "flattered": first.flattered,
        "by_chance": first.chance,
        "arms": [
            {"arm": arm, "first_value": value, "race_value": raced}
            for arm, value, raced in first.pairs
        ],
    }


def _disturbed(run: DisturbedRun) -> dict[str, Any]:
    return {
        "task": run.number,
        "arm": run.arm,
        "value": run.value,
        "factor": run.factor,
        "slow_setup": run.slow_setup,
        "became": run.became,
        "other_task": run.other,
    }


def _loads(tally: Tally) -> list[dict[str, Any]]:
    """Return the measured runs by foreign load; both bounds are null where it is not known."""
    ends = (*LOADS[1:], None)
    known = [
        {"from_cores": low, "below_cores": high, "runs": tally.loads.get(f"{low:g}", 0)}
        for low, high in zip(LOADS, ends, strict=True)
    ]
    unknown = tally.loads.get(UNKNOWN_LOAD, 0)
    return [*known, {"from_cores": None, "below_cores": None, "runs": unknown}]


def _worker(part: honesty_parts.WorkerPart) -> dict[str, Any]:
    calibration = part.calibration
    return {
        "worker_id": part.worker.pk,
        "name": part.worker.name,
        "results": part.results,
        "speed": calibration and calibration.speed,
        "calibrated_at": calibration and calibration.taken_at,
        "value_off": calibration and calibration.value_off,
        "foreign_load": calibration and calibration.foreign_load,
        "is_held_back": bool(calibration and calibration.is_held_back),
    }
