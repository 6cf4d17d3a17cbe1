"""A small form that tests ask: every kind of question, in English and Hindi, with and without help, and to be skipped or not."""

FORM = {
    "questions": [
        {"id": "fever", "text": {"en": "Fever?", "hi": "बुख़ार है?"}, "kind": "yes-no", "optional": False},
        {
            "id": "breathing",
            "text": {"en": "Breathing?", "hi": "साँस?"},
            "help": {"en": "As the person says.", "hi": "जैसा व्यक्ति बताए।"},
            "kind": "choice",
            "optional": False,
            "options": [
                {"id": "easy", "text": {"en": "As usual", "hi": "सामान्य"}},
                {"id": "at_rest", "text": {"en": "Hard at rest", "hi": "आराम में कठिन"}},
            ],
        },
        {
            "id": "temperature",
            "text": {"en": "Temperature?", "hi": "तापमान?"},
            "kind": "number",
            "optional": True,
            "unit": {"und": "°C"},
            "min": 30.0,
            "max": 45.0,
            "decimals": 1,
        },
        {
            "id": "days",
            "text": {"en": "Days of cough?", "hi": "खाँसी कितने दिनों से?"},
            "kind": "number",
            "optional": False,
            "unit": {"en": "days", "hi": "दिन"},
            "min": 0.0,
            "max": 365.0,
        },
        {"id": "smell", "text": {"en": "Smell lost?", "hi": "गंध नहीं आती?"}, "kind": "yes-no", "optional": True},
    ]
}
GIVEN = {"fever": True, "breathing": "at_rest", "temperature": 38.5, "days": 12, "smell": None}
"""Answers to it, in the order of the questions."""
ODD = {"id": "odd", "text": {"en": 'a "$x" \\ */ ${y} `z` -->', "hi": "</script>"}, "kind": "yes-no", "optional": True}
"""A question whose text is code in some language."""
