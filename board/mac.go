package board

import (
	"bytes"
	"net"
	"slices"
)

// universalMAC returns a MAC address in lower case if a maker gave it to one device, else "".
func universalMAC(text string) string {
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 || mac[0]&0x03 != 0 { // 1 is multicast, 2 locally administered
		return ""
	}
	if isPlaceholder(mac) || ofChipMaker(mac) || slices.Contains(sampleAddresses, mac.String()) {
		return ""
	}
	return mac.String()
}

// isPlaceholder tells an address that somebody typed and nobody was given: one byte over and over, bytes that
// count, or a maker's number with nothing behind it.
func isPlaceholder(mac net.HardwareAddr) bool {
	step := mac[2] - mac[1]
	counts := true
	for i := 2; i < 6; i++ {
		counts = counts && mac[i]-mac[i-1] == step
	}
	if counts { // 00:01:02:03:04:05, 00:11:22:33:44:55, 00:aa:bb:cc:dd:ee, all zeros, all ones
		return true
	}
	own := mac[3:]
	return own[0] == own[1] && own[1] == own[2] && (own[0] == 0 || own[0] == 0xff) || bytes.Equal(own, []byte{0x12, 0x34, 0x56})
}

// chipMakers are the numbers (OUI) of those who make the chips of routers. An address of theirs comes with the
// reference design, in the chip's sample calibration or the boot loader's example, and stays on every router
// whose maker has not written one of its own: these are many. A board whose only addresses are of these has
// none, rather than one that it shares.
var chipMakers = [][3]byte{
	{0x00, 0x03, 0x7f}, // Atheros
	{0x00, 0x13, 0x74}, // Atheros
	{0x00, 0x04, 0x9f}, // Freescale
	{0x00, 0xe0, 0x0c}, // Motorola, Freescale
	{0x00, 0x0a, 0x35}, // Xilinx
	{0x00, 0x0c, 0x43}, // Ralink
	{0x00, 0x0c, 0xe7}, // MediaTek
	{0x00, 0x10, 0x18}, // Broadcom
	{0x00, 0x90, 0x4c}, // Epigram, Broadcom
	{0x00, 0x50, 0x43}, // Marvell
	{0x00, 0xe0, 0x4c}, // Realtek
	{0xac, 0x9a, 0x96}, // Lantiq
}

func ofChipMaker(mac net.HardwareAddr) bool {
	return slices.Contains(chipMakers, [3]byte(mac[:3]))
}

// sampleAddresses are single ones that boot loaders and empty memories of network chips have.
var sampleAddresses = []string{
	"00:00:23:34:45:66", // HiSilicon
	"00:15:18:01:81:31", // Amlogic
	"00:40:5c:26:0a:5b", // Samsung
	"00:e0:92:00:01:40", // Infineon
	"88:88:88:88:87:88", // Intel, without content
}
