// SPDX-License-Identifier: Apache-2.0

// What Debian 12's kernel headers lack, by the kernel's names.

/// linux/if_link.h, Linux 6.7.
let IFLA_VXLAN_LABEL_POLICY = 32

/// linux/netdev.h, Linux 6.3.
let NETDEV_CMD_DEV_GET: UInt8 = 1
let NETDEV_A_DEV_IFINDEX = 1
let NETDEV_A_DEV_XDP_FEATURES = 3

/// linux/genetlink.h.
let GENL_ID_CTRL = 0x10
let CTRL_CMD_GETFAMILY: UInt8 = 3
let CTRL_ATTR_FAMILY_ID = 1
let CTRL_ATTR_FAMILY_NAME = 2

/// linux/fib_rules.h, Linux 6.14 and 6.15.
let FRA_DSCP = 25
let FRA_SPORT_MASK = 28
let FRA_DSCP_MASK = 30
