package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Schema-driven Avro in its one accepted encoding (ENVELOPE.md §4). Values are those of encoding/json with
// json.Number for numbers and lowercase hex for bytes and fixed.

var errSpelling = errors.New("not the accepted encoding")

type schema struct {
	kind     string
	name     string
	names    []string
	parts    []*schema
	size     int
	branches []*schema
}

type parser struct {
	named map[string]*schema
}

func parseSchema(text []byte) (*schema, string, error) {
	var raw any
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, "", err
	}
	canonical := canonicalForm(raw, "", map[string]bool{})
	p := parser{named: map[string]*schema{}}
	return p.parse(raw, ""), canonical, nil
}

func (p parser) parse(raw any, space string) *schema {
	switch v := raw.(type) {
	case string:
		if s := p.named[fullName(v, space)]; s != nil {
			return s
		}
		return &schema{kind: v}
	case []any:
		s := &schema{kind: "union"}
		for _, branch := range v {
			s.branches = append(s.branches, p.parse(branch, space))
		}
		return s
	}
	v := raw.(map[string]any)
	kind, simple := v["type"].(string)
	if !simple {
		return p.parse(v["type"], space)
	}
	s := &schema{kind: kind}
	if ns, ok := v["namespace"].(string); ok {
		space = ns
	}
	if name, ok := v["name"].(string); ok {
		s.name = fullName(name, space)
		p.named[s.name] = s
	}
	switch kind {
	case "record":
		for _, f := range v["fields"].([]any) {
			field := f.(map[string]any)
			s.names = append(s.names, field["name"].(string))
			s.parts = append(s.parts, p.parse(field["type"], space))
		}
	case "enum":
		for _, symbol := range v["symbols"].([]any) {
			s.names = append(s.names, symbol.(string))
		}
	case "array":
		s.parts = []*schema{p.parse(v["items"], space)}
	case "fixed":
		s.size = int(v["size"].(float64))
	default:
		return p.parse(kind, space)
	}
	return s
}

func fullName(name, space string) string {
	if strings.Contains(name, ".") || space == "" || primitive(name) {
		return name
	}
	return space + "." + name
}

func primitive(name string) bool {
	return strings.Contains(" null boolean int long float double bytes string ", " "+name+" ")
}

// canonicalForm is the Parsing Canonical Form of the Avro specification.
func canonicalForm(raw any, space string, seen map[string]bool) string {
	switch v := raw.(type) {
	case string:
		return quote(fullName(v, space))
	case []any:
		var branches []string
		for _, branch := range v {
			branches = append(branches, canonicalForm(branch, space, seen))
		}
		return "[" + strings.Join(branches, ",") + "]"
	}
	v := raw.(map[string]any)
	kind, simple := v["type"].(string)
	if !simple {
		return canonicalForm(v["type"], space, seen)
	}
	if primitive(kind) {
		return quote(kind)
	}
	if kind == "array" {
		return `{"type":"array","items":` + canonicalForm(v["items"], space, seen) + "}"
	}
	if ns, ok := v["namespace"].(string); ok {
		space = ns
	}
	name, named := v["name"].(string)
	if !named {
		return canonicalForm(kind, space, seen)
	}
	head := `{"name":` + quote(fullName(name, space)) + `,"type":` + quote(kind)
	switch kind {
	case "record":
		var fields []string
		for _, f := range v["fields"].([]any) {
			field := f.(map[string]any)
			fields = append(fields, `{"name":`+quote(field["name"].(string))+`,"type":`+canonicalForm(field["type"], space, seen)+"}")
		}
		return head + `,"fields":[` + strings.Join(fields, ",") + "]}"
	case "enum":
		var symbols []string
		for _, symbol := range v["symbols"].([]any) {
			symbols = append(symbols, quote(symbol.(string)))
		}
		return head + `,"symbols":[` + strings.Join(symbols, ",") + "]}"
	}
	return head + fmt.Sprintf(`,"size":%d}`, int(v["size"].(float64)))
}

func quote(text string) string {
	out, _ := json.Marshal(text)
	return string(out)
}

type reader struct {
	bytes []byte
	at    int
}

func decode(s *schema, body []byte) (value any, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			value, err = nil, errSpelling
		}
	}()
	r := &reader{bytes: body}
	value = r.value(s)
	if r.at != len(body) {
		return nil, errSpelling
	}
	return value, nil
}

func (r *reader) value(s *schema) any {
	switch s.kind {
	case "record":
		out := map[string]any{}
		for i, name := range s.names {
			out[name] = r.value(s.parts[i])
		}
		return out
	case "union":
		return r.value(s.branches[r.index(len(s.branches))])
	case "enum":
		return s.names[r.index(len(s.names))]
	case "array":
		out := []any{}
		count := r.long()
		if count < 0 {
			panic(errSpelling)
		}
		for i := int64(0); i < count; i++ {
			out = append(out, r.value(s.parts[0]))
		}
		if count > 0 && r.long() != 0 {
			panic(errSpelling)
		}
		return out
	case "fixed":
		return hex.EncodeToString(r.take(int64(s.size)))
	case "bytes":
		return hex.EncodeToString(r.take(r.long()))
	case "string":
		text := r.take(r.long())
		if !utf8.Valid(text) {
			panic(errSpelling)
		}
		return string(text)
	case "int":
		n := r.long()
		if n != int64(int32(n)) {
			panic(errSpelling)
		}
		return json.Number(fmt.Sprint(n))
	case "long":
		return json.Number(fmt.Sprint(r.long()))
	case "null":
		return nil
	}
	panic("no such type: " + s.kind)
}

func (r *reader) index(count int) int {
	i := r.long()
	if i < 0 || i >= int64(count) {
		panic(errSpelling)
	}
	return int(i)
}

func (r *reader) take(length int64) []byte {
	if length < 0 || length > int64(len(r.bytes)-r.at) {
		panic(errSpelling)
	}
	from := r.at
	r.at += int(length)
	return r.bytes[from:r.at]
}

func (r *reader) long() int64 {
	var zigzag uint64
	for shift := 0; ; shift += 7 {
		b := r.take(1)[0]
		if shift > 56 {
			panic(errSpelling)
		}
		zigzag |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if b == 0 && shift > 0 {
				panic(errSpelling)
			}
			break
		}
	}
	n := int64(zigzag>>1) ^ -int64(zigzag&1)
	if n < -(1<<52) || n >= 1<<52 {
		panic(errSpelling)
	}
	return n
}

func encode(s *schema, value any) []byte {
	var out bytes.Buffer
	write(&out, s, value)
	return out.Bytes()
}

func write(out *bytes.Buffer, s *schema, value any) {
	switch s.kind {
	case "record":
		for i, name := range s.names {
			write(out, s.parts[i], value.(map[string]any)[name])
		}
	case "union":
		// All unions of the contracts are null and one other type.
		branch := 0
		if value != nil {
			branch = 1
		}
		writeLong(out, int64(branch))
		write(out, s.branches[branch], value)
	case "enum":
		for i, name := range s.names {
			if name == value {
				writeLong(out, int64(i))
			}
		}
	case "array":
		items := value.([]any)
		if len(items) > 0 {
			writeLong(out, int64(len(items)))
			for _, item := range items {
				write(out, s.parts[0], item)
			}
		}
		writeLong(out, 0)
	case "fixed":
		out.Write(unhex(value.(string)))
	case "bytes":
		raw := unhex(value.(string))
		writeLong(out, int64(len(raw)))
		out.Write(raw)
	case "string":
		writeLong(out, int64(len(value.(string))))
		out.WriteString(value.(string))
	case "int", "long":
		n, _ := value.(json.Number).Int64()
		writeLong(out, n)
	}
}

func writeLong(out *bytes.Buffer, n int64) {
	zigzag := uint64(n<<1) ^ uint64(n>>63)
	for zigzag >= 0x80 {
		out.WriteByte(byte(zigzag) | 0x80)
		zigzag >>= 7
	}
	out.WriteByte(byte(zigzag))
}

func unhex(text string) []byte {
	out, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return out
}
