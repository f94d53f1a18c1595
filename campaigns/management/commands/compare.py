"""Compare two to five tasks or campaigns."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import APIException

from campaigns.answers.comparison import comparison_data
from campaigns.answers.refusals import refusal_text
from campaigns.serializers.compare import CompareQuerySerializer
from xeenet_site.web.strict_json import strict_dumps


class Command(BaseCommand):
    """`manage.py compare`."""

    help = "Print tasks or campaigns side by side as JSON: params, values, spread, curves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--tasks",
            metavar="N/N,N/N",
            help="2 to 5 tasks by campaign and number, separated by commas",
        )
        add("--campaigns", metavar="N,N", help="numbers of 2 to 5 campaigns")
        add(
            "--x",
            help="x axis of the curves: seconds, steps or tokens for tasks; results or hours for "
            "campaigns",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        names = ("tasks", "campaigns", "x")
        query = CompareQuerySerializer(
            data={name: options[name] for name in names if options[name] is not None}
        )
        try:
            query.is_valid(raise_exception=True)
            answer = comparison_data(query.validated_data)
        except APIException as error:
            raise CommandError(refusal_text(error)) from error
        self.stdout.write(strict_dumps(answer, indent=2))
