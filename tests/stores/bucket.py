"""Makes a bucket, or copies a folder into one.

    bucket.py make BUCKET
    bucket.py upload FOLDER BUCKET PREFIX
    bucket.py list BUCKET PREFIX
"""

import os
import sys

import boto3

s3 = boto3.client("s3", endpoint_url=os.environ["STORES_SERVER"], region_name="us-east-1")
if sys.argv[1] == "make":
    s3.create_bucket(Bucket=sys.argv[2])
elif sys.argv[1] == "list":
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=sys.argv[2], Prefix=sys.argv[3])
    for page in pages:
        for found in page.get("Contents", []):
            print(found["Key"])
else:
    folder, bucket, prefix = sys.argv[2:5]
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            below = os.path.relpath(path, folder).replace(os.sep, "/")
            s3.upload_file(path, bucket, f"{prefix}/{below}" if prefix else below)
