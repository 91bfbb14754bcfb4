package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
)

// Signed records and trust bundles (ENVELOPE.md §7 to §9).

type grant struct {
	publicKey           ed25519.PublicKey
	use                 string
	tenants, topics     []any
	notBefore, notAfter int64
}

type ring struct {
	version, windowMs, stalenessMs, issuedAt, expiresAt int64
	keys                                                map[string]grant
}

func u32(n int) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(n))
}

func join(parts ...[]byte) []byte {
	var out []byte
	for _, part := range parts {
		out = append(out, part...)
	}
	return out
}

func targetKey(kind, tenant, id string) string {
	message := []byte("countersign.target.v1\x00")
	for _, part := range []string{kind, tenant, id} {
		message = join(message, u32(len(part)), []byte(part))
	}
	sum := sha256.Sum256(message)
	return hex.EncodeToString(sum[:16])
}

func verifyRecord(name string, body, header []byte, signed bool, keys *ring, roots []ed25519.PublicKey, use string, at int64) (string, string) {
	if !signed {
		return "", "record_unsigned"
	}
	if len(header) < 2 || header[0] != 1 || header[1] < 1 || header[1] > 64 || len(header) != 2+int(header[1])+64 {
		return "", "record_signature_malformed"
	}
	keyID, signature := header[2:2+int(header[1])], header[2+int(header[1]):]
	message := join([]byte("countersign."+name+".v1\x00"), u32(len(keyID)), keyID, body)
	if use == "root" {
		for _, root := range roots {
			if ed25519.Verify(root, message, signature) {
				return string(keyID), ""
			}
		}
		return "", "record_signature_invalid"
	}
	key, known := keys.keys[string(keyID)]
	switch {
	case !known:
		return "", "record_key_unknown"
	case !ed25519.Verify(key.publicKey, message, signature):
		return "", "record_signature_invalid"
	case key.use != use:
		return "", "record_key_use"
	case at < key.notBefore:
		return "", "record_key_not_yet_valid"
	case at >= key.notAfter:
		return "", "record_key_retired"
	}
	return string(keyID), ""
}

func number(value any) int64 {
	n, err := value.(json.Number).Int64()
	if err != nil {
		panic(err)
	}
	return n
}

func starAmongOthers(names []any) bool {
	for _, name := range names {
		if name == "*" && len(names) > 1 {
			return true
		}
	}
	return false
}

func readBundle(s *schema, body []byte) (*ring, bool) {
	decoded, err := decode(s, body)
	if err != nil {
		return nil, false
	}
	b := decoded.(map[string]any)
	r := &ring{version: number(b["version"]), windowMs: number(b["window_ms"]), stalenessMs: number(b["max_staleness_ms"]), issuedAt: number(b["issued_at"]), expiresAt: number(b["expires_at"]), keys: map[string]grant{}}
	if r.version < 1 || r.expiresAt <= r.issuedAt || r.windowMs <= 0 || r.stalenessMs <= 0 || number(b["checkpoint_interval_ms"]) <= 0 {
		return nil, false
	}
	public := map[string]bool{}
	for _, entry := range b["keys"].([]any) {
		k := entry.(map[string]any)
		id, key := k["key_id"].(string), k["public_key"].(string)
		g := grant{unhex(key), k["use"].(string), k["tenants"].([]any), k["topics"].([]any), number(k["not_before"]), number(k["not_after"])}
		_, twice := r.keys[id]
		if twice || public[key] || len(id) < 1 || len(id) > 64 || g.notAfter <= g.notBefore || starAmongOthers(g.tenants) || starAmongOthers(g.topics) {
			return nil, false
		}
		r.keys[id], public[key] = g, true
	}
	return r, true
}

type inForce struct {
	Version int64
	Hash    string
}

func verifyBundle(s *schema, body, header []byte, roots []ed25519.PublicKey, now, epsilon, least int64, current *inForce) (*ring, string) {
	if _, code := verifyRecord("TrustBundle", body, header, true, nil, roots, "root", now); code != "" {
		return nil, "bundle_signature_invalid"
	}
	r, ok := readBundle(s, body)
	sum := sha256.Sum256(body)
	switch {
	case !ok:
		return nil, "bundle_malformed"
	case r.version < least || (current != nil && r.version < current.Version):
		return nil, "bundle_version_back"
	case r.issuedAt > now+epsilon:
		return nil, "bundle_from_future"
	case r.expiresAt <= now:
		return nil, "bundle_expired"
	case current != nil && r.version == current.Version && hex.EncodeToString(sum[:]) != current.Hash:
		return nil, "bundle_version_reused"
	}
	return r, ""
}
