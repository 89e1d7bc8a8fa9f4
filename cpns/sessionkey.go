package cpns

// DeriveSessionKey is what PNE and PN GW both hold after a mutual authentication:
//
//	HKDF(EUKey_index, rand-gw | rand-pne, "CPNS Session Key" | 0x00 | e | 0x00 | g, 32)
//
// key is EUKey_index of the update that ended it: the new EUKey, or the one held
// where it stays on that. It is not the one that the PNE proved before.
func DeriveSessionKey(key *EUKey, randGW, randPNE *[NonceSize]byte, e EntityID, g GatewayID) SessionKey {
	info := labelFor(labelSessionKey, e) + "\x00" + string(g)
	return SessionKey(*deriveKey(key[:], authContext(randGW, randPNE), info))
}
