package cpns

// DeriveSessionKey is what PNE and PN GW both hold after a mutual authentication
// with the EUKey_index that the PNE proved:
//
//	HKDF(EUKey_index, rand-gw | rand-pne, "CPNS Session Key" | 0x00 | e | 0x00 | g, 32)
func DeriveSessionKey(key *EUKey, randGW, randPNE *[NonceSize]byte, e EntityID, g GatewayID) SessionKey {
	info := labelFor(labelSessionKey, e) + "\x00" + string(g)
	return SessionKey(*deriveKey(key[:], AuthContext(randGW, randPNE), info))
}
