"""One planted mistake for each code, and modules in which any of them stand together.

A plant is text: what it declares, what it adds to the plan before and after the pivot, and what it
puts behind the plan. A comment `# SG101` says which code must be told at that line, and no other.
"""

import re
import sys
from dataclasses import dataclass
from textwrap import dedent, indent
from types import ModuleType

from orchestrator import Saga
from orchestrator.definition.check import problems_in

PROLOGUE = """
import random
from datetime import datetime
from orchestrator import *
from orchestrator import Payload
from plans import *

STRICT = dict(within=seconds(1), irreversible=True)
plan = saga(version=1, deadline=hours(1))

@step(**STRICT)
def send(order: Order) -> HoldMoney:
    return HoldMoney(1)

@step(**STRICT)
def final(order: Order) -> HoldMoney:
    return HoldMoney(1)

class Parcel(Payload):
    size: int

@block
def pair(flow: Flow, order: Later[Order]) -> Later[Held]:
    return flow.do(send.named("of_pair")(order))
"""


@dataclass(frozen=True)
class Plant:
    """A mistake: the parts of a module that make it."""

    name: str
    declares: str = ""
    before: str = ""
    after: str = ""
    behind: str = ""
    head: str = ""
    """Codes that are told at the plan's first line."""
    options: str = ""
    gives: str = ""
    elsewhere: tuple[str, ...] = ()

    def clashes(self, other: "Plant") -> bool:
        """Say whether both want the same place of the plan."""
        return bool((self.options and other.options) or (self.gives and other.gives))


PLANTS = (
    Plant("SG001", before="flow.delay(minutes(5))  # SG001"),
    Plant("SG101", before="flow.do(no_undo(order))  # SG101"),
    Plant(
        "SG102",
        """
        @step(**STRICT)  # SG102
        def both(order: Order) -> HoldMoney:
            return HoldMoney(1)

        @both.undo(within=seconds(1))
        def undo_both(command: HoldMoney) -> FreeMoney:
            return FreeMoney(1)
        """,
        "flow.do(both(order))",
    ),
    Plant(
        "SG103",
        before="""
        flow.do(send.named("same")(order))
        flow.do(send.named("same")(order))  # SG103
        """,
    ),
    Plant(
        "SG104",
        """
        @step(within=seconds(1))
        def undone(order: Order) -> HoldMoney:
            return HoldMoney(1)

        @undone.undo(within=seconds(1))
        def undo_undone(command: HoldMoney) -> FreeMoney:
            return FreeMoney(1)

        @undone.undo(within=seconds(1))  # SG104 SG203
        def undo_again(command: ReserveStock) -> FreeMoney:
            return FreeMoney(1)
        """,
        "flow.do(undone(order))",
    ),
    Plant("SG105", after='flow.pivot(send.named("second_pivot")(order))  # SG105'),
    Plant("SG106", after='flow.do(reserve_stock.named("too_late")(order))  # SG106'),
    Plant(
        "SG107",
        """
        @step(within=hours(2), irreversible=True)
        def slow(order: Order) -> HoldMoney:
            return HoldMoney(1)
        """,
        "flow.do(slow(order))",
        head="SG107",
    ),
    Plant(
        "SG108",
        before="flow.each(lines_of(order), of_line)  # SG001 SG108",
        declares="""
        @step(**STRICT)
        def of_line(sku: str) -> HoldMoney:
            return HoldMoney(1)
        """,
    ),
    Plant(
        "SG110",
        behind="""
        @saga(version=1, deadline=hours(1), id="p")  # SG110
        def twin(flow: Flow, order: Later[Order]) -> None:
            flow.do(send(order))
        """,
    ),
    Plant(
        "SG111",
        """
        def another():
            class HoldMoney(Command[Held], to=gifts):  # SG111
                amount_cents: int
            return HoldMoney
        Another = another()

        @step(**STRICT)
        def hold_otherwise(order: Order) -> Another:
            return Another(1)
        """,
        "flow.do(hold_otherwise(order))",
    ),
    Plant(
        "SG112",
        behind="""
        @plan  # SG112
        def q_idle(flow: Flow, order: Later[Order]) -> None:
            pass
        """,
    ),
    Plant(
        "SG113",
        """
        @block
        def again(flow: Flow, order: Later[Order]) -> Later[Held]:
            flow.do(no_undo.named("of_again")(order))  # SG101
            return flow.do(again(order))  # SG113
        """,
        "flow.do(again(order))",
    ),
    Plant("SG201", before='flow.do(wrap_gift.named("of_money")(held))  # SG201'),
    Plant(
        "SG202",
        before="""
        perhaps = flow.when(wants_gift(order), send.named("perhaps")(order))
        flow.do(needs_held.named("may_lack")(perhaps))  # SG202
        """,
    ),
    Plant(
        "SG203",
        """
        @step(within=seconds(1))
        def shelved(order: Order) -> ReserveStock:
            return ReserveStock("")

        @shelved.undo(within=seconds(1))  # SG203
        def unshelve(command: ReserveStock, result: Wrapped) -> ReleaseStock:
            return ReleaseStock("")
        """,
        "flow.do(shelved(order))",
    ),
    Plant(
        "SG204",
        """
        leaked = []

        @block
        def leaky(flow: Flow, order: Later[Order]) -> Later[Held]:
            leaked[:] = [flow.do(send(order))]
            return leaked[0]
        """,
        """
        flow.when(wants_gift(order), leaky(order))
        flow.do(needs_held.named("of_leak")(leaked[0]))  # SG204
        """,
    ),
    Plant(
        "SG205",
        """
        @step(**STRICT)  # SG503
        def forgotten(order: Order) -> str:
            return ""
        """,
        """
        forgotten(order)  # SG205
        no_undo.named("forgotten_too")(order)  # SG101 SG205
        """,
    ),
    Plant(
        "SG206",
        before="""
        call = send.named("twice")(order)
        flow.do(call)
        flow.do(call)  # SG206
        """,
    ),
    Plant(
        "SG207",
        """
        stolen = []

        @plan
        def donor(flow: Flow, order: Later[Order]) -> None:
            stolen[:] = [flow.do(send(order))]

        donor.sketch()
        """,
        'flow.do(needs_held.named("of_stolen")(stolen[0]))  # SG207',
    ),
    Plant(
        "SG208",
        before="""
        early = no_undo.named("early")(order)  # SG101
        flow.do(wrap_gift.named("of_early")(early))  # SG201 SG208
        """,
    ),
    Plant(
        "SG209",
        before="""
        flow.do(send.named("of_plain")(Parcel(1)))  # SG209
        flow.do(held)  # SG209
        flow.when(True, send.named("of_truth")(order))  # SG209
        """,
    ),
    Plant(
        "SG210 block",
        """
        @block
        def empty(flow: Flow, order: Later[Order]) -> Later[Held]:
            flow.do(send(order))
        """,
        """
        nothing = flow.do(empty(order))  # SG210
        flow.do(needs_held.named("of_nothing")(nothing))
        """,
    ),
    Plant("SG210 plan", head="SG210", gives="Later[Held]"),
    Plant(
        "SG211",
        """
        @step(**STRICT)
        def swap(one: Held, other: Held) -> HoldMoney:
            return HoldMoney(1)
        """,
        "flow.do(swap(held, held))  # SG211",
    ),
    Plant("SG300", before='broken = {}["seat"]  # SG300\nflow.do(needs_held(broken))'),
    Plant("SG300 name", before='flow.do(needs_held.named("of_unbound")(unbound))  # SG300'),
    Plant(
        "SG301",
        before="""
        if wants_gift(order):  # SG301
            flow.do(no_undo.named("in_if")(order))  # SG101
        elif held is None:  # SG301
            flow.do(no_undo.named("in_elif")(order))  # SG101
        else:
            flow.do(no_undo.named("in_else")(order))  # SG101
        chosen = held if order.gift else order  # SG301
        flow.do(needs_held.named("of_chosen")(chosen))
        """,
    ),
    Plant(
        "SG302",
        before="""
        for line in lines_of(order):  # SG302
            flow.do(no_undo.named("in_for")(order))  # SG101
        one, other = held  # SG302
        flow.do(needs_held.named("of_part")(one))
        """,
    ),
    Plant(
        "SG303",
        before="""
        known = order.lines[0].sku  # SG303
        flow.do(needs_held.named("of_known")(known))
        """,
    ),
    Plant(
        "SG304",
        '''
        exec(compile("""
        @block
        def hidden(flow: Flow, order: Later[Order]) -> Later[Held]:
            return flow.do(send(order))
        """.replace("\\n        ", "\\n"), "nowhere.py", "exec"))
        ''',
        "flow.do(hidden(order))",
        elsewhere=("nowhere.py:2: SG304",),
    ),
    Plant(
        "SG305",
        """
        @step(**STRICT)  # SG305
        def random_one(order: Order) -> HoldMoney:
            return HoldMoney(random.randint(1, 2))
        """,
        "flow.do(random_one(order))",
    ),
    Plant(
        "SG405",
        """
        @plan
        def a_older(flow: Flow, order: Later[Order]) -> None:
            flow.do(send(order))
        """,
        head="SG405 SG405",
        options=", follows=a_older",
    ),
    Plant(
        "SG501",
        """
        class Unfit(Payload):  # SG501
            at: datetime

        @derive
        def unfit(order: Order) -> Unfit:
            return Unfit(datetime.now())

        @step(**STRICT)
        def of_unfit(value: Unfit) -> HoldMoney:
            return HoldMoney(1)
        """.replace("datetime.now()", "datetime(2020, 1, 1)"),
        "flow.do(of_unfit(unfit(order)))",
    ),
    Plant(
        "SG502",
        """
        @step(**STRICT)  # SG502 SG503
        def bare(order) -> str:
            return ""
        """,
        "flow.do(bare(order))",
    ),
    Plant(
        "SG503",
        """
        @step(**STRICT)  # SG503
        def text(order: Order) -> str:
            return ""
        """,
        "flow.do(needs_held.named('of_text')(flow.do(text(order))))",
    ),
    Plant(
        "SG504",
        """
        @step(within=seconds(1))
        def many(order: Order) -> HoldMoney:
            return HoldMoney(1)

        @many.undo(within=seconds(1))  # SG504
        def undo_many(command: HoldMoney, result: Held | None, more: int) -> FreeMoney:
            return FreeMoney(1)
        """,
        "flow.do(many(order))",
    ),
    Plant(
        "SG504 plan",
        behind="""
        @plan  # SG502 SG504
        def q_three(flow: Flow, order: Later[Order], more) -> None:
            flow.do(no_undo(order))  # SG101
            flow.do(wrap_gift(flow.do(send(order))))  # SG201
        """,
    ),
    Plant(
        "SG505",
        """
        class Odd(Command[str], to=gifts):  # SG505
            sku: str

        @step(**STRICT)
        def odd(order: Order) -> Odd:
            return Odd("")
        """,
        "flow.do(odd(order))",
    ),
    Plant("SG507", before='flow.do(send.named("a/b")(order))  # SG507'),
    Plant(
        "SG508",
        """
        @step(within=seconds(0), irreversible=True)  # SG508
        def instant(order: Order) -> HoldMoney:
            return HoldMoney(1)
        """,
        "flow.do(instant(order))",
    ),
)
LATE = ("SG212", "SG400", "SG401", "SG402", "SG403", "SG404")
"""Codes of what is done with a definition once it is built, or with the lock file."""

BASE = """
@step(**STRICT)
def needs_held(held: Held) -> HoldMoney:
    return HoldMoney(1)
"""


def module_of(*plants: Plant) -> str:
    """Give the text of a module with these mistakes in one plan, as far as they belong to one."""
    options = "".join(plant.options for plant in plants)
    gives = next((plant.gives for plant in plants if plant.gives), "None")
    head = " ".join(plant.head for plant in plants if plant.head)
    return "\n".join([
        PROLOGUE + BASE,
        *(dedent(plant.declares) for plant in plants),
        f"@saga(version=1, deadline=hours(1){options})  # {head}",
        f"def p(flow: Flow, order: Later[Order]) -> {gives}:",
        "    held = flow.do(send(order))",
        *(indent(dedent(plant.before).strip(), "    ") for plant in plants),
        "    flow.pivot(final(order))",
        *(indent(dedent(plant.after).strip(), "    ") for plant in plants),
        *(dedent(plant.behind) for plant in plants),
    ])  # fmt: skip


def expected_of(text: str, file: str, *plants: Plant) -> list[str]:
    """Give `file:line: code` for each mistake that the text's comments announce, sorted."""
    told = [
        (file, number, code)
        for number, line in enumerate(text.splitlines(), 1)
        for code in re.findall(r"SG\d+", line.partition("  # ")[2])
    ]
    for plant in plants:
        for one in plant.elsewhere:
            name, line, code = one.replace(" ", "").split(":")
            told.append((name, int(line), code))
    return [f"{name}:{line}: {code}" for name, line, code in sorted(told)]


def problems_of(text: str, path):
    """Run a module, and check its sagas together."""
    path.write_text(text)
    # Annotations that are texts are looked up in the module of their class.
    module = sys.modules["planted_module"] = ModuleType("planted_module")
    names = vars(module)
    exec(compile(text, str(path), "exec"), names)
    sagas = [value for value in names.values() if isinstance(value, Saga)]
    return problems_in(*(one.sketch() for one in dict.fromkeys(sagas)))
