"""The rules of the Patient."""

from bars_gateway.standard.checks import patient
from bars_gateway.standard.checks.rule import Rule
from bars_gateway.standard.issues import Severity

_WARN = Severity.WARNING

RULES: tuple[Rule, ...] = (
    Rule(
        rule="P01",
        text="an NHS number has ten digits",
        source="Applications: payload tables",
        broken=patient.malformed_nhs_number,
        receiving=_WARN,
    ),
    Rule(
        rule="P02",
        text="the check digit of the NHS number is wrong",
        source="this project",
        broken=patient.wrong_check_digit,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="P02P",
        text="the NHS number is a placeholder, one digit ten times: leave the identifier out where"
        " there is no number",
        source="this project",
        broken=patient.placeholder,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="P03",
        text="the NHS number must be verified, or present but not traced; Application 8: verified",
        source="Applications: Scope-and-Requirements",
        broken=patient.number_not_traced,
        receiving=_WARN,
    ),
    Rule(
        rule="P04",
        text="Application 8 needs an NHS number",
        source="Application 8: Scope-and-Requirements",
        broken=patient.number_missing,
    ),
    Rule(
        rule="P05",
        text="contact details stand in Patient.contact, not in Patient.telecom",
        source="tests: patient_contact",
        broken=patient.own_telecom,
        receiving=_WARN,
    ),
    Rule(
        rule="P06",
        text="one contact of the Patient, and one only, has rank 1",
        source="tests: NoRank1, TwoRank1",
        broken=patient.no_first_contact,
    ),
    Rule(
        rule="P06N",
        text="the Patient has no contact",
        source="tests: patient_contact",
        broken=patient.no_contact,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="P07",
        text="the contact has no rank",
        source="tests: patient_contact",
        broken=patient.unranked_contact,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="P09",
        text="birthSex is sent as an Observation, not as an extension",
        source="tests: provider_simulator",
        broken=patient.birth_sex,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="P10",
        text="the Patient has one official name",
        source="tests: provider_simulator",
        # An error before sending would hold back who is unknown: a published emergency is.
        broken=patient.no_official_name,
        sending=_WARN,
        receiving=_WARN,
    ),
)
