#!/bin/sh
# Make the secrets of compose.yaml in a folder: sh packaging/images/make-secrets.sh FOLDER
# A secret that is there already stays: a new key signs everybody out, and a new password does not
# open the old database.
set -eu
folder=${1:?the folder to make, for example: sh packaging/images/make-secrets.sh secrets}
umask 077
mkdir -p "$folder"
# Other accounts cannot enter the folder. The files themselves are readable: engines mount each with
# the owner that it has here, and the accounts inside the containers are other ones.
chmod 0700 "$folder"
for name in secret_key database_password; do
    if [ ! -s "$folder/$name" ]; then
        head -c 48 /dev/urandom | base64 | tr -d '\n' > "$folder/$name.new"
        chmod 0444 "$folder/$name.new"
        mv "$folder/$name.new" "$folder/$name"
    fi
done
echo "The secrets are in $folder. Write into .env: XEENET_SECRETS=$(cd "$folder" && pwd)"
