"""Races, their decisions, and the plan of a race."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from campaigns.lifecycle.race_start import MAX_RACE_ARMS
from campaigns.models import MAX_MIN_EFFECT, MAX_RACE_SEEDS, Decision, Race, RaceOutcome
from campaigns.race.look import FEWEST_COMMON
from campaigns.race.plan import POWER
from campaigns.race.strips import Kind, Left
from campaigns.search.samplers import MAX_TASKS
from campaigns.serializers.known_fields import KnownFieldsSerializer
from campaigns.standings.race_runs import runs_of_looks
from workers.api.fields import BoundedListField, StrictFloatField, StrictIntegerField

# A larger gap than this is no difference between trained models.
MAX_DELTA: Final = MAX_MIN_EFFECT


class StartRaceSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """Which arms race, and how."""

    arms = BoundedListField(
        child=StrictIntegerField(min_value=0, max_value=MAX_TASKS),
        min_length=2,
        max_length=MAX_RACE_ARMS,
        help_text="The numbers of different arms.",
    )
    seeds = StrictIntegerField(
        required=False,
        min_value=FEWEST_COMMON,
        max_value=MAX_RACE_SEEDS,
        help_text="How many seeds each arm may run; none of them has run one of these before. The "
        "default is the campaign's.",
    )
    min_effect = StrictFloatField(
        required=False,
        min_value=0,
        max_value=MAX_MIN_EFFECT,
        help_text="The race ends as a tie when what lies between the first two is surely smaller. "
        "The default is the campaign's.",
    )


def _outcome() -> serializers.ChoiceField:
    """Return a field that says in the OpenAPI document that it may be empty."""
    return serializers.ChoiceField(
        choices=RaceOutcome.choices,
        allow_blank=True,
        read_only=True,
        help_text="Empty as long as the race goes on.",
    )


def _arm_numbers(help_text: str = "") -> serializers.ListField:
    return serializers.ListField(
        child=serializers.IntegerField(), help_text=help_text or None, read_only=True
    )


class RaceSerializer(serializers.ModelSerializer[Race]):
    """One race."""

    campaign_id = serializers.IntegerField()
    arms = _arm_numbers("The numbers of the arms that began.")
    seeds = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="The places in the campaign's seed list on which they may run, in order.",
    )
    outcome = _outcome()
    chosen_from = serializers.IntegerField(
        allow_null=True,
        read_only=True,
        help_text="It began by itself: screening chose its arms from so many. Null for a race that "
        "a person started.",
    )
    runs = serializers.SerializerMethodField(
        help_text="How many runs its looks have needed so far, with the rest of a champion's."
    )

    class Meta:
        model = Race
        fields: Any = (
            "id",
            "campaign_id",
            "number",
            "chosen_from",
            "arms",
            "seeds",
            "outcome",
            "floor_sd",
            "floor_pairs",
            "min_effect",
            "runs",
            "started_at",
            "ended_at",
        )
        read_only_fields = fields

    def get_runs(self, race: Race) -> int:
        """Return the number of runs, from the race and its decisions."""
        return runs_of_looks(race)


class DecisionSerializer(serializers.ModelSerializer[Decision]):
    """What one look of a race decided."""

    campaign_id = serializers.IntegerField(source="race.campaign_id")
    race_id = serializers.IntegerField()
    race = serializers.IntegerField(source="race.number", help_text="The number of its race.")
    outcome = _outcome()
    leader = serializers.IntegerField(
        source="leader.number", default=None, allow_null=True, help_text="The number of an arm."
    )
    rival = serializers.IntegerField(
        source="rival.number",
        default=None,
        allow_null=True,
        help_text="The number of the arm that is nearest to the leader.",
    )
    group = _arm_numbers("The leader and the arms never proven behind it.")
    behind = _arm_numbers("The arms proven behind, up to this look.")
    dropped = _arm_numbers("The arms that left for number only; nobody beat them.")
    infeasible = _arm_numbers("The arms whose own trouble ended half of their runs.")

    class Meta:
        model = Decision
        fields: Any = (
            "id",
            "campaign_id",
            "race_id",
            "race",
            "look",
            "outcome",
            "why",
            "leader",
            "rival",
            "n",
            "estimate",
            "scale",
            "df",
            "bound",
            "group",
            "behind",
            "dropped",
            "infeasible",
            "seeds_to_separate",
            "decided_at",
        )
        read_only_fields = fields


class DecisionDetailSerializer(DecisionSerializer):
    """One decision with everything that its look saw: enough to compute the rest again."""

    saw = serializers.DictField()

    class Meta(DecisionSerializer.Meta):
        fields = (*DecisionSerializer.Meta.fields, "saw")
        read_only_fields = fields


class LookLeaderSerializer(serializers.Serializer[Any]):
    """A decided look of a race: after how many seeds, and who led."""

    look = serializers.IntegerField()
    seeds = serializers.IntegerField()
    leader = serializers.IntegerField(allow_null=True, help_text="The number of an arm.")


class ArmLookSerializer(serializers.Serializer[Any]):
    """What a look saw of an arm beside the one that all are compared with."""

    look = serializers.IntegerField()
    n = serializers.IntegerField(help_text="The seeds that both have.")
    median = serializers.FloatField(allow_null=True, help_text="Of the differences; signed.")
    bound = serializers.FloatField(
        allow_null=True, help_text="What noise can do: a median beyond it is proven."
    )
    is_behind = serializers.BooleanField(help_text="Whether its median is proven.")


class DifferenceSerializer(serializers.Serializer[Any]):
    """An arm less the other on one seed. Numbers are in the metric's unit, or null."""

    look = serializers.IntegerField(help_text="The first look that sees the seed.")
    seed_index = serializers.IntegerField()
    seed = serializers.IntegerField()
    state = serializers.ChoiceField(choices=[str(kind) for kind in Kind])
    difference = serializers.FloatField(allow_null=True)
    value = serializers.FloatField(allow_null=True)
    reference_value = serializers.FloatField(allow_null=True)


class StripSerializer(serializers.Serializer[Any]):
    """One arm of a race, seed by seed."""

    arm = serializers.IntegerField()
    standing = serializers.CharField()
    left_at_look = serializers.IntegerField(allow_null=True)
    left_as = serializers.ChoiceField(
        choices=[str(why) for why in Left],
        allow_blank=True,
        help_text="Why it left the race; empty while it is in.",
    )
    value = serializers.FloatField(allow_null=True, help_text="The median over its race seeds.")
    half_width = serializers.FloatField(allow_null=True)
    looks = ArmLookSerializer(many=True)
    differences = DifferenceSerializer(many=True)


class DifferencesSerializer(serializers.Serializer[Any]):
    """Every paired difference of a race, as its looks saw them, and the runs since then."""

    campaign_id = serializers.IntegerField()
    race = serializers.IntegerField(help_text="The number of the race.")
    outcome = _outcome()
    verdict = serializers.CharField()
    metric = serializers.CharField()
    unit = serializers.CharField()
    direction = serializers.CharField()
    compared_with = serializers.IntegerField(
        help_text="The number of the arm that the others are compared with."
    )
    is_leader = serializers.BooleanField(
        help_text="Whether a look chose that arm; before, it is the arm that was named first."
    )
    looks = LookLeaderSerializer(many=True)
    arms = StripSerializer(many=True)


class PlanQuestionSerializer(KnownFieldsSerializer[dict[str, Any]]):
    """The difference that a race should find, and how surely."""

    delta = StrictFloatField(
        max_value=MAX_DELTA, help_text="Above 0, in the unit of the values: the true gap."
    )
    power = StrictFloatField(
        default=POWER, help_text="Above 0 and below 1: how often the race should find it."
    )

    def validate_delta(self, delta: float) -> float:
        if delta <= 0:
            raise serializers.ValidationError("Must be greater than 0.")
        return delta

    def validate_power(self, power: float) -> float:
        if not 0 < power < 1:
            raise serializers.ValidationError("Must be greater than 0 and less than 1.")
        return power


class PlanSerializer(serializers.Serializer[Any]):
    """`race_plan.RacePlan`: what it takes to find a difference between two arms."""

    delta = serializers.FloatField()
    power = serializers.FloatField()
    seeds = serializers.IntegerField(allow_null=True, help_text="So many seeds of each arm.")
    runs = serializers.IntegerField(allow_null=True, help_text="The runs of all arms.")
    hours = serializers.FloatField(
        allow_null=True, help_text="What the runs take on the workers that are online now."
    )
    default_seeds = serializers.IntegerField(help_text="The seeds of a race without a choice.")
    chance = serializers.FloatField(
        allow_null=True, help_text="The chance that a race with `default_seeds` finds the gap."
    )
    sigma = serializers.FloatField(
        allow_null=True, help_text="The standard deviation of a run once its seed is known."
    )
    df = serializers.FloatField(allow_null=True, help_text="The degrees of freedom behind `sigma`.")
    pairs = serializers.IntegerField(help_text="The replicate pairs that `sigma` was taken from.")
    arms = serializers.IntegerField(help_text="How many arms race.")
    assumed = serializers.CharField(
        allow_blank=True,
        help_text="Where `sigma` is from while the campaign has not shown it. Empty once it has.",
    )
    sentence = serializers.CharField(help_text="The plan for people.")
    why = serializers.CharField(
        allow_blank=True, help_text="Why a field is null, or the race too long. Mostly empty."
    )
