// SPDX-License-Identifier: Apache-2.0
#include "culvert_xdp.h"
