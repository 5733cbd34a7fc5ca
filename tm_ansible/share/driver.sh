#!/bin/sh
# Starts the transfer driver of tm_ansible; written by `tm-ansible install`.
exec $command "$$@"
