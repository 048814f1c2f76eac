"""
The use cases of BaRS: their codes, and what people call them (usecases-categories-bars 1.5.0).

The first half of a code is the Application. Names are for documents that machines
exchange; the guide forbids showing them to end users.
"""

from collections.abc import Mapping

USE_CASE_NAMES: Mapping[str, str] = {
    "a1t1": "111 to ED",
    "a1t2": "111 to UTC",
    "a1t3": "IUC CAS to ED",
    "a1t4": "IUC CAS to UTC",
    "a1t5": "999 to ED",
    "a1t6": "999 to UTC",
    "a1t7": "111 to SDEC",
    "a1t8": "IUC CAS to SDEC",
    "a1t9": "999 to SDEC",
    "a1t10": "111 to UEC",
    "a1t11": "IUC CAS to UEC",
    "a1t12": "999 to UEC",
    "a2t1": "111 Online to ED",
    "a2t2": "111 Online to UTC",
    "a2t3": "S and R to ED",
    "a2t4": "S and R to UTC",
    "a2t5": "111 Online to UEC",
    "a2t6": "S and R to UEC",
    "a3t1": "999 to CAS Referral",
    "a4t1": "999 to CAS Validation",
    "a4t2": "999 to Falls",
    "a4t3": "999 to Community Services",
    "a4t4": "999 to UEC Validation",
    "a5t1": "Primary Care to Community Pharmacy",
    "a5t2": "Primary Care to Pharmacy Contraception",
    "a5t3": "Primary Care to Pharmacy Blood Pressure Check Service",
    "referraltopharmacy": "Primary Care to Pharmacy to Deprecated",
    "a6t1": "CAD to CAD Out of Area Referral",
    "a6t2": "CAD to CAD Call Assist Request",
    "a6t3": "CAD to CAD Mutual Aid Request",
    "a7t1": "Patient Facing Services to Primary Care",
    "a8t1": "AG to e-RS",
    "a8t2": "111 Online to e-RS",
    "a8t3": "nhs.uk to e-RS",
}
