// SPDX-License-Identifier: Apache-2.0
import Commands
import LinuxSystem

StandardStream.reserve()
Culvert.start()
