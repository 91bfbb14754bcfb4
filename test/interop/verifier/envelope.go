package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"reflect"
)

// Envelopes (ENVELOPE.md §2 to §6, §10 and §11).

// versions of the claims' schema, by fingerprint in hex; the first adds nothing.
type versions struct {
	schemas map[string]*schema
	first   string
}

type verifier struct {
	versions versions
	ring     *ring
	now      int64
	epsilon  int64
}

type event struct {
	topic, audience string
	key, value      []byte // nil for null
	evidence        [][]byte
}

// What opening found: the claims, self first, and those of what it relies on; or a code.
type opened struct {
	chain, relied         []any
	code, parent, earlier string
}

type wire struct {
	size, index                          uint32
	leaf, claims, keyID, path, signature []byte
}

func node(left, right []byte) []byte {
	sum := sha256.Sum256(join([]byte("CSN\x01"), left, right))
	return sum[:]
}

func rootMessage(keyID []byte, size uint32, root []byte) []byte {
	return join([]byte("countersign.Envelope.v1\x00"), u32(len(keyID)), keyID, u32(int(size)), root)
}

func pathLength(index, size uint32) int {
	length := 0
	for at, last := index, size-1; last > 0; at, last = at/2, last/2 {
		if at%2 == 1 || at != last {
			length++
		}
	}
	return length
}

func parse(b []byte) (w wire, code string) {
	switch {
	case len(b) > 16384:
		return w, "envelope_oversize"
	case len(b) < 24:
		return w, "envelope_truncated"
	case string(b[:3]) != "CSE":
		return w, "envelope_malformed"
	case b[3] != 1:
		return w, "envelope_version_unknown"
	}
	w.size, w.index = binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:])
	c, p, k := int(binary.BigEndian.Uint16(b[20:])), int(b[22]), int(b[23])
	if w.size < 1 || w.size > 65536 || w.index >= w.size || k < 1 || k > 64 || p != pathLength(w.index, w.size) {
		return w, "envelope_malformed"
	}
	end := 24 + c + k + 32*p + 64
	if len(b) < end {
		return w, "envelope_truncated"
	}
	if len(b) > end {
		return w, "envelope_malformed"
	}
	w.leaf, w.claims, w.keyID = b[:24+c], b[24:24+c], b[24+c:24+c+k]
	w.path, w.signature = b[24+c+k:end-64], b[end-64:]
	return w, ""
}

func (w wire) root() []byte {
	sum := sha256.Sum256(w.leaf)
	hash, path := sum[:], w.path
	for at, last := w.index, w.size-1; last > 0; at, last = at/2, last/2 {
		if at%2 == 0 && at == last {
			continue
		}
		if at%2 == 1 {
			hash = node(path[:32], hash)
		} else {
			hash = node(hash, path[:32])
		}
		path = path[32:]
	}
	return hash
}

// authenticate does steps 1 to 5 of §5.
func (v verifier) authenticate(b []byte) (claims map[string]any, code string) {
	w, code := parse(b)
	if code != "" {
		return nil, code
	}
	key, known := v.ring.keys[string(w.keyID)]
	if !known {
		return nil, "envelope_key_unknown"
	}
	if !ed25519.Verify(key.publicKey, rootMessage(w.keyID, w.size, w.root()), w.signature) {
		return nil, "envelope_signature_invalid"
	}
	fingerprint := hex.EncodeToString(b[4:12])
	written, known := v.versions.schemas[fingerprint]
	if !known {
		return nil, "envelope_schema_unknown"
	}
	decoded, err := decode(written, w.claims)
	if err != nil {
		return nil, "envelope_malformed"
	}
	claims = decoded.(map[string]any)
	if fingerprint != v.versions.first && len(reliesOn(claims)) == 0 && claims["succession"] == nil {
		return nil, "envelope_malformed"
	}
	if number(claims["depth"]) > 3 {
		return nil, "envelope_too_deep"
	}
	if !lawful(claims) {
		return nil, "envelope_malformed"
	}
	iat := number(claims["iat"])
	switch {
	case key.use != "envelope" && (key.use != "derive" || claims["parent"] == nil):
		return nil, "envelope_key_use"
	case iat < key.notBefore:
		return nil, "envelope_key_not_yet_valid"
	case iat >= key.notAfter:
		return nil, "envelope_key_retired"
	case !granted(key.tenants, get(claims, "tctx", "tenant")):
		return nil, "envelope_key_tenant"
	case !granted(key.topics, get(claims, "event", "topic")):
		return nil, "envelope_key_topic"
	}
	return claims, ""
}

func granted(names []any, name any) bool {
	for _, n := range names {
		if n == name || (n == "*" && len(names) == 1) {
			return true
		}
	}
	return false
}

func get(value any, path ...string) any {
	for _, name := range path {
		value = value.(map[string]any)[name]
	}
	return value
}

func lawful(c map[string]any) bool {
	for _, text := range []any{c["txn"], c["sub"], c["aud"], c["req_wl"], get(c, "tctx", "tenant"), get(c, "event", "topic")} {
		if text == "" {
			return false
		}
	}
	iat, depth := number(c["iat"]), number(c["depth"])
	if iat < 0 || number(c["exp"]) <= iat || depth < 0 || (depth == 0 || c["succession"] != nil) != (c["parent"] == nil) {
		return false
	}
	if !lawfulReliance(c) {
		return false
	}
	if number(get(c, "tctx", "scope_version")) < 0 || number(get(c, "tctx", "position", "offset")) < -1 {
		return false
	}
	for _, target := range get(c, "tctx", "targets").([]any) {
		if number(get(target, "version")) < 0 {
			return false
		}
	}
	before := ""
	for _, s := range c["scope"].([]any) {
		scope := s.(string)
		if scope <= before {
			return false
		}
		for _, b := range []byte(scope) {
			if b < 0x21 || b > 0x7e || b == 0x22 || b == 0x5c {
				return false
			}
		}
		before = scope
	}
	return true
}

func same(bound any, bytes []byte) bool {
	if bound == nil || bytes == nil {
		return bound == nil && bytes == nil
	}
	return bound == hex.EncodeToString(bytes)
}

func (v verifier) open(b []byte, e event) (o opened) {
	claims, code := v.authenticate(b)
	if code != "" {
		return opened{code: code}
	}
	payload := e.value
	if payload != nil {
		sum := sha256.Sum256(payload)
		payload = sum[:]
	}
	switch {
	case get(claims, "event", "topic") != e.topic:
		return opened{code: "envelope_topic_mismatch"}
	case !same(get(claims, "event", "key"), e.key):
		return opened{code: "envelope_key_mismatch"}
	case !same(get(claims, "event", "payload_sha256"), payload):
		return opened{code: "envelope_payload_mismatch"}
	case claims["aud"] != e.audience:
		return opened{code: "envelope_audience_mismatch"}
	case number(claims["iat"]) > v.now+v.epsilon:
		return opened{code: "envelope_from_future"}
	case number(claims["exp"]) <= v.now:
		return opened{code: "envelope_expired"}
	}
	o = v.ancestry(claims)
	if o.code == "" && len(reliesOn(claims)) > 0 {
		o.relied, o.code, o.earlier = v.relied(claims, e.evidence)
	}
	return o
}

// ancestry does §6 and the window of §5.
func (v verifier) ancestry(claims map[string]any) opened {
	chain := []any{claims}
	for claims["parent"] != nil {
		parent, code := v.authenticate(unhex(claims["parent"].(string)))
		if code != "" {
			return opened{code: "envelope_parent_invalid", parent: code}
		}
		if widened(claims, parent) {
			return opened{code: "envelope_widened"}
		}
		claims = parent
		chain = append(chain, claims)
	}
	began := number(claims["iat"])
	if claims["succession"] != nil {
		began = number(get(claims, "succession", "begun_at"))
	}
	if began <= v.now-v.ring.windowMs+v.ring.stalenessMs+v.epsilon {
		return opened{code: "envelope_expired"}
	}
	return opened{chain: chain}
}

func widened(child, parent map[string]any) bool {
	for _, path := range [][]string{
		{"txn"}, {"sub"}, {"tctx", "tenant"}, {"tctx", "principal"}, {"tctx", "credential"}, {"tctx", "session"},
		{"tctx", "client"}, {"tctx", "device"}, {"tctx", "scope_version"}, {"tctx", "targets"},
		{"tctx", "position", "log_id"}, {"rctx"},
	} {
		if !reflect.DeepEqual(get(child, path...), get(parent, path...)) {
			return true
		}
	}
	offset := func(c map[string]any) int64 { return number(get(c, "tctx", "position", "offset")) }
	if number(child["depth"]) != number(parent["depth"])+1 || offset(child) < offset(parent) {
		return true
	}
	if number(child["exp"]) > number(parent["exp"]) || number(child["iat"]) < number(parent["iat"]) {
		return true
	}
	if !holdsAll(reliesOn(child), reliesOn(parent)) {
		return true
	}
	has := map[any]bool{}
	for _, scope := range parent["scope"].([]any) {
		has[scope] = true
	}
	for _, scope := range child["scope"].([]any) {
		if !has[scope] {
			return true
		}
	}
	mine, theirs := get(child, "tctx", "act").([]any), get(parent, "tctx", "act").([]any)
	more := len(mine) - len(theirs)
	return more < 0 || more > 1 || !reflect.DeepEqual(append([]any{}, mine[more:]...), append([]any{}, theirs...))
}

func seal(fingerprint []byte, bodies [][]byte, keyID string, key ed25519.PrivateKey) [][]byte {
	size := uint32(len(bodies))
	leaves, level := make([][]byte, size), make([][]byte, size)
	for i, body := range bodies {
		p := pathLength(uint32(i), size)
		lengths := append(binary.BigEndian.AppendUint16(nil, uint16(len(body))), byte(p), byte(len(keyID)))
		leaves[i] = join([]byte("CSE\x01"), fingerprint, u32(int(size)), u32(i), lengths, body)
		sum := sha256.Sum256(leaves[i])
		level[i] = sum[:]
	}
	paths := make([][]byte, size)
	for width := 1; len(level) > 1; width *= 2 {
		for i := range paths {
			if at := i/width ^ 1; at < len(level) {
				paths[i] = append(paths[i], level[at]...)
			}
		}
		var above [][]byte
		for i := 0; i < len(level); i += 2 {
			if i+1 == len(level) {
				above = append(above, level[i])
			} else {
				above = append(above, node(level[i], level[i+1]))
			}
		}
		level = above
	}
	signature := ed25519.Sign(key, rootMessage([]byte(keyID), size, level[0]))
	out := make([][]byte, size)
	for i := range out {
		out[i] = join(leaves[i], []byte(keyID), paths[i], signature)
	}
	return out
}
