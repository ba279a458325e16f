"""Have CloudFormation undo a deployment after which alarms go off: `python -m infra.deploy.guard STACK`.

    STACK [MINUTES]   watch for so many minutes after each deployment from now on (10; at most 180)
    STACK off         do not watch any more

Neither `sam deploy` nor `aws cloudformation deploy` can say this. CloudFormation keeps it with the stack and applies it
to every later update, whoever begins it (API reference, RollbackConfiguration, read 2026-11-26).
"""

import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

ALARMS = ("FunctionErrorsAlarm",)  # not those that may be on for other reasons: what is on already undoes a repair too
MINUTES = 10
LONGEST = 180


def update_of(cloudformation: Any, stack: str, minutes: int | None) -> dict[str, Any]:
    """Return the update that changes nothing of a stack but what it is watched by.

    Args:
        cloudformation: a client for the stack's region.
        stack: its name.
        minutes: how long to watch after each deployment, 0 to 180; None: not at all.

    Raises:
        botocore.exceptions.ClientError: there is no such stack, or it has no such alarm yet.
    """
    (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    _, partition, _, region, account, _ = found["StackId"].split(":", 5)
    triggers = []
    for alarm in ALARMS if minutes is not None else ():
        answer = cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId=alarm)
        name = answer["StackResourceDetail"]["PhysicalResourceId"]
        arn = f"arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}"
        triggers.append({"Arn": arn, "Type": "AWS::CloudWatch::Alarm"})
    keys = [parameter["ParameterKey"] for parameter in found.get("Parameters", [])]
    return {
        "StackName": stack,
        "UsePreviousTemplate": True,
        "Parameters": [{"ParameterKey": key, "UsePreviousValue": True} for key in keys],  # or the defaults come back
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        "RollbackConfiguration": {"RollbackTriggers": triggers, "MonitoringTimeInMinutes": minutes or 0},
    }


def main(arguments: list[str]) -> None:
    """Carry out what the arguments say; exit with 1 and the usage if they say nothing."""
    match arguments:
        case [stack, "off"]:
            minutes = None
        case [stack]:
            minutes = MINUTES
        case [stack, text] if text.isdecimal() and int(text) <= LONGEST:
            minutes = int(text)
        case _:
            sys.exit(str(__doc__))
    try:
        cloudformation = boto3.client("cloudformation")
        cloudformation.update_stack(**update_of(cloudformation, stack, minutes))
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"Nothing was changed. {error}")
    watched = "nothing is watched" if minutes is None else f"{minutes} minutes of {', '.join(ALARMS)}"
    print(f"{stack}: {watched} from this update on.")


if __name__ == "__main__":
    main(sys.argv[1:])
