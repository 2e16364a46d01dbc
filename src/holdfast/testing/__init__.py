"""For whoever writes an attack or a defence: the contract that it keeps, and toys to try it on."""

from holdfast.testing.attack_contract import AttackContract, check_attack
from holdfast.testing.defence_contract import DefenceContract, check_defence
from holdfast.testing.lock import toy_data, toy_domain, toy_folder
from holdfast.testing.toys import toy_checkpoint, toy_tokenizer

__all__ = [
    "AttackContract", "DefenceContract", "check_attack", "check_defence", "toy_checkpoint",
    "toy_data", "toy_domain", "toy_folder", "toy_tokenizer",
]  # fmt: skip
