"""What bears on a campaign's values, and what was not counted."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.models import FailureClass
from campaigns.standings.honesty import FATES, Fate

_LEFT_OUT = [str(fate) for fate in FATES if fate not in {Fate.COUNTED, Fate.OPEN}]


class ReasonSerializer(serializers.Serializer[Any]):
    """Runs that ended and do not count, for one reason."""

    reason = serializers.ChoiceField(choices=_LEFT_OUT)
    runs = serializers.IntegerField()
    title = serializers.CharField()
    why = serializers.CharField()


class VisibleGapSerializer(serializers.Serializer[Any]):
    """The true difference that so many seeds of each arm show, four times in five."""

    seeds = serializers.IntegerField()
    gap = serializers.FloatField(help_text="In the metric's unit.")


class ClassNoiseSerializer(serializers.Serializer[Any]):
    """The noise between seeds in one class, over all campaigns that share it."""

    class_id = serializers.IntegerField()
    words = serializers.CharField(help_text="The class in words, for people.")
    results = serializers.IntegerField(help_text="The campaign's ranked results in it.")
    sd = serializers.FloatField(
        allow_null=True, help_text="Standard deviation in the metric's unit; null without a pair."
    )
    pairs = serializers.IntegerField(help_text="Replicate pairs: two successive seeds of one arm.")
    bad_seed_rate = serializers.FloatField(allow_null=True)
    as_of = serializers.DateTimeField(allow_null=True)
    visible_gaps = VisibleGapSerializer(many=True, help_text="Empty while the noise is unknown.")
    pair_sizes = serializers.ListField(
        child=serializers.FloatField(),
        help_text="How far apart the runs of each pair are, ascending; of many pairs quantiles.",
    )


class FirstSeedSerializer(serializers.Serializer[Any]):
    """An arm that raced: the value of its first seed, and its race value."""

    arm = serializers.IntegerField()
    first_value = serializers.FloatField()
    race_value = serializers.FloatField()


class FirstSeedsSerializer(serializers.Serializer[Any]):
    """What first seeds said of the arms that raced, beside what their races said."""

    flattered_by = serializers.FloatField(
        allow_null=True,
        help_text="By how much the first seeds were kinder on average, in the metric's unit; "
        "negative when they were harder, null when no arm raced.",
    )
    flattered = serializers.IntegerField(help_text="The arms whose first seed was kinder.")
    by_chance = serializers.FloatField(
        allow_null=True,
        help_text="What the luckiest of so many equal arms as were measured would lose when it "
        "runs again; null while the noise is unknown.",
    )
    arms = FirstSeedSerializer(many=True, help_text="The first arms of the board that raced.")


class DisturbedRunSerializer(serializers.Serializer[Any]):
    """A run that other programs slowed, and what became of it."""

    task = serializers.IntegerField(help_text="The number of its task in the campaign.")
    arm = serializers.IntegerField()
    value = serializers.FloatField(allow_null=True)
    factor = serializers.FloatField(
        allow_null=True,
        help_text="How many times as long as expected its steps took; null when only its set-up "
        "was slow.",
    )
    slow_setup = serializers.BooleanField()
    became = serializers.CharField()
    other_task = serializers.IntegerField(
        allow_null=True, help_text="The number of the other run of its arm on its seed."
    )


class DisturbedSerializer(serializers.Serializer[Any]):
    """Measured runs by whether others slowed them, and the newest that were."""

    runs = serializers.IntegerField()
    undisturbed = serializers.IntegerField()
    unknown = serializers.IntegerField()
    slow_setups = serializers.IntegerField(
        help_text="Runs that spent more than 30 % of a time budget on their set-up."
    )
    newest = DisturbedRunSerializer(many=True)


class SlowArmSerializer(serializers.Serializer[Any]):
    """An arm that can get no result."""

    arm = serializers.IntegerField()
    why = serializers.CharField()


class SlowArmsSerializer(serializers.Serializer[Any]):
    """The arms that can get no result: how many, and the first ones."""

    count = serializers.IntegerField()
    first = SlowArmSerializer(many=True)


class ForeignLoadSerializer(serializers.Serializer[Any]):
    """Measured runs during which others used so many cores, on average."""

    from_cores = serializers.FloatField(
        allow_null=True, help_text="Null, like the other bound, for runs of which it is unknown."
    )
    below_cores = serializers.FloatField(allow_null=True)
    runs = serializers.IntegerField()


class WorkerPartSerializer(serializers.Serializer[Any]):
    """A worker that brought results, and its latest calibration; null without one."""

    worker_id = serializers.IntegerField()
    name = serializers.CharField()
    results = serializers.IntegerField()
    speed = serializers.FloatField(allow_null=True)
    calibrated_at = serializers.DateTimeField(allow_null=True)
    value_off = serializers.FloatField(allow_null=True)
    foreign_load = serializers.FloatField(allow_null=True)
    is_held_back = serializers.BooleanField(
        help_text="It gets no work budgets until an operator admits its calibration."
    )


class HonestySerializer(serializers.Serializer[Any]):
    """How far a campaign's values can be believed. `ended` = `counted` + all of `not_counted`."""

    metric = serializers.CharField()
    unit = serializers.CharField()
    ended = serializers.IntegerField(help_text="Runs that ended: completed, failed or cancelled.")
    counted = serializers.IntegerField()
    not_counted = ReasonSerializer(many=True)
    open = serializers.IntegerField()
    kept = serializers.IntegerField(help_text="Runs that are kept for a race.")
    failure_classes = serializers.DictField(
        child=serializers.IntegerField(),
        help_text=f"Of the runs that failed, by class: {', '.join(FailureClass.values)}.",
    )
    noise = ClassNoiseSerializer(many=True)
    first_seeds = FirstSeedsSerializer()
    disturbed = DisturbedSerializer()
    too_slow_arms = SlowArmsSerializer()
    foreign_load = ForeignLoadSerializer(many=True)
    workers = WorkerPartSerializer(many=True, help_text="Those with most results.")
    other_workers = serializers.IntegerField()
