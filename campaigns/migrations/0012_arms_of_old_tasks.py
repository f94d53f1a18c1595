import hashlib
import json

from django.db import migrations
from django.db.models import Exists, Max, OuterRef, Subquery

BATCH = 1_000


def make_arms(apps, _editor):
    """Give each campaign one arm per distinct params, and each task its arm.

    These campaigns keep their seeds, one for each task.
    """
    Campaign, Task = apps.get_model("campaigns", "Campaign"), apps.get_model("campaigns", "Task")
    tasks = Task.objects.filter(campaign=OuterRef("pk")).order_by()
    launched = Campaign.objects.filter(Exists(tasks))
    last = tasks.values("campaign").annotate(last=Max("number")).values("last")
    launched.update(shares_seeds=False, draws=Subquery(last) + 1)
    for campaign in launched.order_by("pk").iterator():
        _make_arms_of(apps, campaign)


def _make_arms_of(apps, campaign):
    Arm, Task = apps.get_model("campaigns", "Arm"), apps.get_model("campaigns", "Task")
    floats = {p["name"] for p in campaign.search_space["parameters"] if p["type"] == "float"}
    tasks = Task.objects.filter(campaign=campaign).order_by("number")
    # By hash: that of the params as they were stored, and that of their normal form.
    normal, arms, ran = {}, {}, set()
    unsaved, repeats, replays = [], [], []
    fields = ("pk", "params", "params_sha256", "seed", "origin", "created_at")
    for pk, params, stored, seed, origin, created_at in tasks.values_list(*fields).iterator(BATCH):
        digest = normal.get(stored)
        if digest is None:
            params = _normalised(params, floats)
            digest = normal[stored] = _sha256(params)
        if digest not in arms:
            arms[digest] = len(arms)
            unsaved.append(
                Arm(
                    campaign=campaign,
                    number=arms[digest],
                    package_id=campaign.package_id,
                    params=params,
                    params_sha256=digest,
                    origin=origin,
                    created_at=created_at,
                )
            )
        elif (arms[digest], seed) in ran:
            replays.append(pk)
        else:
            repeats.append(pk)
        ran.add((arms[digest], seed))
        if len(unsaved) == BATCH:
            Arm.objects.bulk_create(unsaved)
            unsaved = []
    Arm.objects.bulk_create(unsaved)
    for purpose, keys in (("repeat", repeats), ("replay", replays)):
        for start in range(0, len(keys), BATCH):
            Task.objects.filter(pk__in=keys[start : start + BATCH]).update(purpose=purpose)
    same = Arm.objects.filter(campaign=campaign, package=campaign.package_id)
    of_hash = same.filter(params_sha256=OuterRef("params_sha256")).values("pk")
    tasks.order_by().update(arm=Subquery(of_hash))
    for stored, digest in normal.items():
        if stored != digest:
            arm = same.get(params_sha256=digest)
            tasks.order_by().filter(params_sha256=stored).update(arm=arm)


def forget_arms(apps, _editor):
    """Give each task the hash of its own params again."""
    Arm, Task = apps.get_model("campaigns", "Arm"), apps.get_model("campaigns", "Task")
    of_arm = Arm.objects.filter(pk=OuterRef("arm")).values("params_sha256")
    Task.objects.order_by().update(params_sha256=Subquery(of_arm))
    rows = Task.objects.order_by("pk").values_list("pk", "params", "params_sha256")
    for pk, params, digest in rows.iterator(BATCH):
        if (own := _sha256(params)) != digest:
            Task.objects.filter(pk=pk).update(params_sha256=own)
    Task.objects.order_by().update(arm=None)
    Arm.objects.all().delete()


def _normalised(params, floats):
    return {name: float(value) + 0.0 if name in floats else value for name, value in params.items()}


def _sha256(params):
    canonical = json.dumps(params, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class Migration(migrations.Migration):
    """The arms of campaigns from before there were any, and the way back.

    With 100,000 tasks, nearly each of them an arm of its own, both ways took about two minutes on
    PostgreSQL 15 and on SQLite, at the lowest priority on two busy cores, and half of that on quiet
    ones. Rows pass through Python in batches.
    """

    dependencies = [("campaigns", "0011_arms")]

    operations = [migrations.RunPython(make_arms, forget_arms)]
