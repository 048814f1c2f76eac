"""The functions behind the rules: each yields the FHIR paths at which a message breaks one."""
