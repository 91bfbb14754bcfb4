// Checks every vector of schemas/vectors with an implementation written from schemas/ENVELOPE.md alone.
// Standard library only. Usage: go run . <schemas folder>
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
)

type signed struct{ Body, Signature string }

var passed, failed int

func check(file, name string, want, got any) {
	if reflect.DeepEqual(want, got) {
		passed++
		return
	}
	failed++
	fmt.Printf("%s: %s: want %v, got %v\n", file, name, want, got)
}

func load(path string, into any) {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		panic(err)
	}
}

func schemaOf(path string) (*schema, []byte) {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	s, canonical, err := parseSchema(text)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256([]byte(canonical))
	return s, sum[:8]
}

func maybe(text *string) []byte {
	if text == nil {
		return nil
	}
	return append([]byte{}, unhex(*text)...)
}

func publicKeys(texts []string) (out []ed25519.PublicKey) {
	for _, text := range texts {
		out = append(out, ed25519.PublicKey(unhex(text)))
	}
	return out
}

func main() {
	folder := os.Args[1]
	first, firstPrint := schemaOf(filepath.Join(folder, "history/EnvelopeClaims/v1.avsc"))
	second, secondPrint := schemaOf(filepath.Join(folder, "avro/envelope-claims.avsc"))
	oldest := hex.EncodeToString(firstPrint)
	claims := versions{map[string]*schema{oldest: first, hex.EncodeToString(secondPrint): second}, oldest}
	bundle, _ := schemaOf(filepath.Join(folder, "avro/trust-bundle.avsc"))
	vectors := filepath.Join(folder, "vectors")
	targets(filepath.Join(vectors, "targets.json"))
	seals(filepath.Join(vectors, "seal.json"), claims)
	bundles(filepath.Join(vectors, "bundles.json"), bundle)
	records(filepath.Join(vectors, "records.json"), bundle)
	envelopes(filepath.Join(vectors, "envelopes.json"), claims, bundle)
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

func targets(path string) {
	var file struct {
		Cases []struct{ Kind, Tenant, ID, Key string }
	}
	load(path, &file)
	for _, c := range file.Cases {
		check("targets", c.Kind+" "+c.ID, c.Key, targetKey(c.Kind, c.Tenant, c.ID))
	}
}

func seals(path string, claimsOf versions) {
	var file struct {
		Cases []struct {
			Name, Fingerprint string
			KeyID             string `json:"key_id"`
			PrivateKey        string `json:"private_key"`
			PublicKey         string `json:"public_key"`
			Claims            []any
			Bodies, Envelopes []string
		}
	}
	load(path, &file)
	for _, c := range file.Cases {
		s, known := claimsOf.schemas[c.Fingerprint]
		check("seal", c.Name+": fingerprint", true, known)
		key := ed25519.NewKeyFromSeed(unhex(c.PrivateKey))
		check("seal", c.Name+": public key", c.PublicKey, hex.EncodeToString(key.Public().(ed25519.PublicKey)))
		var bodies [][]byte
		for i, claims := range c.Claims {
			body := encode(s, claims)
			check("seal", fmt.Sprint(c.Name, ": body ", i), c.Bodies[i], hex.EncodeToString(body))
			bodies = append(bodies, body)
		}
		for i, envelope := range seal(unhex(c.Fingerprint), bodies, c.KeyID, key) {
			check("seal", fmt.Sprint(c.Name, ": envelope ", i), c.Envelopes[i], hex.EncodeToString(envelope))
		}
	}
}

func bundles(path string, s *schema) {
	var file struct {
		Roots []string
		Cases []struct {
			Name, Body, Signature string
			Now                   int64
			Epsilon               int64 `json:"epsilon_ms"`
			Least                 int64 `json:"min_version"`
			Current               *inForce
			Expect                struct {
				OK         bool
				Code, Hash string
				Version    int64
			}
		}
	}
	load(path, &file)
	for _, c := range file.Cases {
		r, code := verifyBundle(s, unhex(c.Body), unhex(c.Signature), publicKeys(file.Roots), c.Now, c.Epsilon, c.Least, c.Current)
		check("bundles", c.Name, c.Expect.Code, code)
		if c.Expect.OK && r != nil {
			check("bundles", c.Name+": version", c.Expect.Version, r.version)
		}
		if c.Expect.Hash != "" {
			sum := sha256.Sum256(unhex(c.Body))
			check("bundles", c.Name+": hash", c.Expect.Hash, hex.EncodeToString(sum[:]))
		}
	}
}

func records(path string, s *schema) {
	var file struct {
		Roots  []string
		Bundle signed
		Cases  []struct {
			Name, Record, Body, Use string
			Signature               *string
			At                      int64
			Expect                  struct {
				Code  string
				KeyID string `json:"key_id"`
			}
		}
	}
	load(path, &file)
	r, _ := readBundle(s, unhex(file.Bundle.Body))
	for _, c := range file.Cases {
		keyID, code := verifyRecord(c.Record, unhex(c.Body), maybe(c.Signature), c.Signature != nil, r, publicKeys(file.Roots), c.Use, c.At)
		check("records", c.Name, c.Expect.KeyID+c.Expect.Code, keyID+code)
	}
}

func envelopes(path string, claims versions, bundle *schema) {
	var file struct {
		Bundles map[string]signed
		Cases   []struct {
			Name, Bundle, Topic, Audience string
			Now                           int64
			Epsilon                       int64 `json:"epsilon_ms"`
			Key, Value                    *string
			Headers                       [][2]string
			Expect                        struct {
				OK                    bool
				Code, Parent, Earlier string
				Chain, Relied         []any
			}
		}
	}
	load(path, &file)
	rings := map[string]*ring{}
	for name, b := range file.Bundles {
		rings[name], _ = readBundle(bundle, unhex(b.Body))
	}
	for _, c := range file.Cases {
		var found []string
		var evidence [][]byte
		for _, header := range c.Headers {
			if header[0] == "countersign-envelope" {
				found = append(found, header[1])
			}
			if header[0] == "countersign-relies-on" {
				evidence = append(evidence, unhex(header[1]))
			}
		}
		if len(found) != 1 {
			check("envelopes", c.Name, c.Expect.Code, map[bool]string{true: "envelope_missing", false: "envelope_repeated"}[len(found) == 0])
			continue
		}
		v := verifier{claims, rings[c.Bundle], c.Now, c.Epsilon}
		got := v.open(unhex(found[0]), event{c.Topic, c.Audience, maybe(c.Key), maybe(c.Value), evidence})
		want := c.Expect.Code + " " + c.Expect.Parent + " " + c.Expect.Earlier
		check("envelopes", c.Name, want, got.code+" "+got.parent+" "+got.earlier)
		if c.Expect.Chain != nil {
			check("envelopes", c.Name+": claims", c.Expect.Chain, got.chain)
		}
		if c.Expect.Relied != nil {
			check("envelopes", c.Name+": relied", c.Expect.Relied, got.relied)
		}
		if c.Expect.OK != (got.code == "") {
			failed++
		}
	}
}
