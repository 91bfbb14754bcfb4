package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Successors and earlier envelopes (ENVELOPE.md §10 and §11).

func reliesOn(claims map[string]any) []any {
	hashes, _ := claims["relies_on"].([]any)
	return hashes
}

func holdsAll(hashes, needed []any) bool {
	has := map[any]bool{}
	for _, hash := range hashes {
		has[hash] = true
	}
	for _, hash := range needed {
		if !has[hash] {
			return false
		}
	}
	return true
}

func lawfulReliance(c map[string]any) bool {
	distinct := map[any]bool{}
	for _, hash := range reliesOn(c) {
		distinct[hash] = true
	}
	if len(reliesOn(c)) > 8 || len(distinct) != len(reliesOn(c)) {
		return false
	}
	if c["succession"] == nil {
		return true
	}
	count, began := number(get(c, "succession", "count")), number(get(c, "succession", "begun_at"))
	return count >= 1 && count <= 32 && began >= 0 && began <= number(c["iat"])
}

// unpack gives nil for anything but the one layout.
func unpack(b []byte) (envelopes [][]byte) {
	if len(b) < 2 || b[0] != 1 || b[1] < 1 || b[1] > 9 {
		return nil
	}
	rest := b[2:]
	for i := 0; i < int(b[1]); i++ {
		if len(rest) < 2 {
			return nil
		}
		length := int(binary.BigEndian.Uint16(rest))
		if length > 16384 || len(rest) < 2+length {
			return nil
		}
		envelopes = append(envelopes, rest[2:2+length])
		rest = rest[2+length:]
	}
	if len(rest) > 0 {
		return nil
	}
	return envelopes
}

func (v verifier) relied(claims map[string]any, evidence [][]byte) (relied []any, code, earlier string) {
	hashes := reliesOn(claims)
	var envelopes [][]byte
	if len(evidence) == 1 {
		envelopes = unpack(evidence[0])
	}
	if len(envelopes) != len(hashes) {
		return nil, "envelope_reliance_missing", ""
	}
	for i, bytes := range envelopes {
		sum := sha256.Sum256(bytes)
		if hex.EncodeToString(sum[:]) != hashes[i] {
			return nil, "envelope_reliance_mismatch", ""
		}
	}
	for _, bytes := range envelopes {
		own, code := v.authenticate(bytes)
		if code == "" && number(own["iat"]) > v.now+v.epsilon {
			code = "envelope_from_future"
		}
		if code == "" {
			code = v.ancestry(own).code
		}
		if code == "envelope_expired" {
			return nil, "envelope_reliance_expired", ""
		}
		if code != "" {
			return nil, "envelope_reliance_invalid", code
		}
		if own["txn"] != claims["txn"] || get(own, "tctx", "tenant") != get(claims, "tctx", "tenant") {
			return nil, "envelope_reliance_foreign", ""
		}
		if number(own["iat"]) > number(claims["iat"])+v.epsilon {
			return nil, "envelope_reliance_invalid", "envelope_from_future"
		}
		log := func(c map[string]any) any { return get(c, "tctx", "position", "log_id") }
		offset := func(c map[string]any) int64 { return number(get(c, "tctx", "position", "offset")) }
		if log(own) != log(claims) || offset(own) > offset(claims) || !holdsAll(hashes, reliesOn(own)) {
			return nil, "envelope_reliance_invalid", "envelope_widened"
		}
		relied = append(relied, own)
	}
	return relied, "", ""
}
