"""Learn from a refusal how a provider wants to be asked. Pure functions.

Only refusals that come before any picture is made count, so that nothing was billed; and there is never a way from
here to a plain text-to-image call, which would be billed and have nothing to do with the source.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from ..errors import Complaint
from .call import ProviderCall
from .edits import EDITS
from .edits_json import EDITS_JSON
from .edits_local import EDITS_LOCAL
from .manner import Manner
from .openrouter import OPENROUTER
from .refusals import NO_MODEL_CODE, is_moderation
from .sizes import SQUARES, edges
from .variations import VARIATIONS

NO_ROUTE = {404, 405, 501}
VALIDATION = NO_ROUTE | {400, 415, 422}
MAY_BE_LEFT_OUT = {"user", "quality", "output_format", "response_format", "seed", "provider", "size", "resolution"}
WANTS_JSON = re.compile(r"application/json|expected json|must be json|json body", re.IGNORECASE)
WANTS_FORM = re.compile(r"multipart|form-data", re.IGNORECASE)
ABOUT_FILE_TYPE = re.compile(r"mimetype|(image|file) (type|format)", re.IGNORECASE)
WANTS_OTHER_FIELD = re.compile(
    r"image\[|array syntax|expected a file|field required"
    r"|(missing|required).{0,40}image|image.{0,40}(missing|required)",
    re.IGNORECASE,
)
ONLY_ONE = re.compile(r"\bn\b ?(>|=|must|should|is|parameter)|only (one|1|a single)|single.image", re.IGNORECASE)
ABOUT_SIZE = re.compile(r"\bsize\b|resolution|dimensions", re.IGNORECASE)

UNKNOWN = re.compile(
    r"(unknown|unrecogni[sz]ed|unexpected|unsupported|extra).{0,12}(parameter|argument|field|key|input)"
    r"|(parameter|argument|field|key)s?\b.*not (supported|permitted|allowed)",
    re.IGNORECASE,
)
EDITING = {EDITS.name, EDITS_JSON.name, EDITS_LOCAL.name}
# What to ask for when a size is refused, one after the other; None is no size at all.
SIZE_STEPS: dict[str, tuple[str | None, ...]] = {
    EDITS.name: (SQUARES[-1], "auto", None),
    EDITS_JSON.name: (SQUARES[-1], "auto", None),
    EDITS_LOCAL.name: (SQUARES[-1], None),
    OPENROUTER.name: (SQUARES[-1], None),
}

Rule = Callable[[Manner, ProviderCall, Complaint], Manner | None]


def correct(manner: Manner, call: ProviderCall, complaint: Complaint) -> Manner | None:
    """Return another manner that may please the provider, or None where it means what it says.

    Args:
        manner: how it was asked.
        call: what it was sent.
        complaint: what it says, with its HTTP status.
    """
    if not is_correctable(complaint):
        return None
    for rule in RULES:
        if better := rule(manner, call, complaint):
            return better
    return None


def is_correctable(complaint: Complaint) -> bool:
    """Tell whether a complaint is about the form of a call alone, so that nothing was made or billed."""
    about_model = NO_MODEL_CODE.fullmatch(complaint.code)
    return complaint.status in VALIDATION and not about_model and not is_moderation(complaint)


def _other_route(manner: Manner, call: ProviderCall, complaint: Complaint) -> Manner | None:
    elsewhere = call.path != "images/edits" or manner.dialect.name not in EDITING
    if manner.fixed or elsewhere or complaint.status not in NO_ROUTE:
        return None
    return replace(manner, dialect=VARIATIONS, why=f"images/edits is not served (HTTP {complaint.status})")


def _other_body(manner: Manner, call: ProviderCall, complaint: Complaint) -> Manner | None:
    if manner.fixed or manner.turned or manner.dialect.name not in EDITING:
        return None
    refused = complaint.status == 415 and not ABOUT_FILE_TYPE.search(complaint.message)
    wants_form = bool(WANTS_FORM.search(complaint.message))
    if call.picture and (WANTS_JSON.search(complaint.message) or (refused and not wants_form)):
        return replace(manner, dialect=EDITS_JSON, why="it takes JSON only", turned=True)
    if not call.picture and (wants_form or refused):
        return replace(manner, dialect=EDITS, why="it takes forms only", turned=True)
    return None


def _other_picture_field(manner: Manner, call: ProviderCall, complaint: Complaint) -> Manner | None:
    about_it = complaint.param.startswith("image") or "image" in complaint.message.lower()
    if not call.picture or manner.picture_field or not about_it:
        return None
    if complaint.code != "duplicate_parameter" and not WANTS_OTHER_FIELD.search(complaint.message):
        return None
    return replace(manner, picture_field="image" if call.picture_field == "image[]" else "image[]")


def _one_by_one(manner: Manner, call: ProviderCall, complaint: Complaint) -> Manner | None:
    refused = complaint.param == "n" or _names(complaint, "n") or ONLY_ONE.search(complaint.message)
    return manner.one_by_one() if call.n > 1 and refused else None


def _other_size(manner: Manner, call: ProviderCall, complaint: Complaint) -> Manner | None:
    size, steps = call.fields.get("size"), SIZE_STEPS.get(manner.dialect.name)
    about_it = complaint.param == "size" or ABOUT_SIZE.search(complaint.message)
    if not size or not steps or not about_it or _is_unknown(complaint):
        return None
    asked = next((change.asked for change in call.adjustments if change.parameter == "size"), size)
    if asked == "auto" or max(edges(asked)) > 1024:
        steps = steps[1:]  # the square would not cover it
    instead = steps[steps.index(size) + 1 if size in steps else 0]
    return replace(manner, sizes={**manner.sizes, asked: instead})


def _without_parameter(manner: Manner, call: ProviderCall, complaint: Complaint) -> Manner | None:
    named = [name for name in call.fields if name in MAY_BE_LEFT_OUT and _names(complaint, name)]
    if not named:
        return None
    return replace(manner, without={**manner.without, **dict.fromkeys(named, "the provider refuses it")})


def _is_unknown(complaint: Complaint) -> bool:
    return complaint.code == "unknown_parameter" or bool(UNKNOWN.search(complaint.message))


def _names(complaint: Complaint, name: str) -> bool:
    """Tell whether a complaint is about a field: by `param`, in quotes, or in a list at the end of the sentence.

    LiteLLM 1.110.2: "The following parameters are not supported for model openai/gpt-image-2.5: size, user".
    """
    told = rf"['\"`]{name}['\"`]|^{name} must\b"
    told += rf"|\b(parameters?|arguments?|keys?|fields?)\b.*: ?(\w+, )*{name}(, \w+)*\.?$"
    return complaint.param == name or bool(re.search(told, complaint.message, re.IGNORECASE))


RULES: tuple[Rule, ...] = (
    _other_route,
    _other_body,
    _one_by_one,
    _other_size,
    _without_parameter,
    _other_picture_field,
)
