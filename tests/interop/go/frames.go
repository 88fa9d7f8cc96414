package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"unicode/utf16"

	"github.com/fxamacker/cbor/v2"
)

// message is a decoded map: text, int64, bool, nil, []byte, []any and map[string]any.
type message = map[string]any

const (
	maxSafeInteger = 1<<53 - 1
	// maxLengthBytes is the longest varint in front of a frame.
	maxLengthBytes = 3
)

var encoder = must(cbor.CoreDetEncOptions().EncMode())

var decoder = must(cbor.DecOptions{
	DupMapKey:      cbor.DupMapKeyEnforcedAPF,
	IndefLength:    cbor.IndefLengthForbidden,
	TagsMd:         cbor.TagsForbidden,
	IntDec:         cbor.IntDecConvertSigned,
	DefaultMapType: reflect.TypeOf(message{}),
}.DecMode())

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// encodeFrame returns a message behind its length.
func encodeFrame(value message) ([]byte, error) {
	body, err := encoder.Marshal(value)
	if err != nil {
		return nil, err
	}
	var prefix []byte
	length := len(body)
	for ; length >= 0x80; length >>= 7 {
		prefix = append(prefix, byte(length)|0x80)
	}
	return append(append(prefix, byte(length)), body...), nil
}

// decodeBody decodes the body of a frame and rejects anything that is not canonical.
func decodeBody(body []byte) (message, error) {
	var value any
	if err := decoder.Unmarshal(body, &value); err != nil {
		return nil, err
	}
	if err := checkValue(value); err != nil {
		return nil, err
	}
	again, err := encoder.Marshal(value)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, body) {
		return nil, errors.New("the encoding is not canonical")
	}
	decoded, ok := value.(message)
	if !ok {
		return nil, errors.New("the body is not a map")
	}
	return decoded, nil
}

// checkValue rejects values that no message contains.
func checkValue(value any) error {
	switch value := value.(type) {
	case nil, bool, string, []byte:
		return nil
	case int64:
		if value < -maxSafeInteger || value > maxSafeInteger {
			return fmt.Errorf("the integer %d is too large", value)
		}
		return nil
	case []any:
		for _, item := range value {
			if err := checkValue(item); err != nil {
				return err
			}
		}
		return nil
	case message:
		for _, item := range value {
			if err := checkValue(item); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("a value of type %T is not allowed", value)
}

// frames reads and writes frames of a stream.
type frames struct {
	reader *bufio.Reader
	writer io.Writer
}

func newFrames(stream io.ReadWriter) *frames {
	return &frames{reader: bufio.NewReader(stream), writer: stream}
}

func (f *frames) write(value message) error {
	frame, err := encodeFrame(value)
	if err != nil {
		return err
	}
	_, err = f.writer.Write(frame)
	return err
}

// read reads one frame whose body has at most limit bytes.
func (f *frames) read(limit int) (message, error) {
	length := 0
	for at := 0; ; at++ {
		digit, err := f.reader.ReadByte()
		if err != nil {
			return nil, err
		}
		length |= int(digit&0x7f) << (7 * at)
		if digit < 0x80 {
			if digit == 0 {
				return nil, errors.New("the length of a frame is 0 or not in its shortest form")
			}
			break
		}
		if at+1 == maxLengthBytes {
			return nil, errors.New("the length of a frame is too long")
		}
	}
	if length > limit {
		return nil, fmt.Errorf("a frame has %d bytes, at most %d are allowed", length, limit)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(f.reader, body); err != nil {
		return nil, err
	}
	return decodeBody(body)
}

// Field types of docs/protocol.md.

type check func(value any) bool

func matches(pattern string) check {
	compiled := regexp.MustCompile("^(?:" + pattern + ")$")
	return func(value any) bool {
		text, ok := value.(string)
		return ok && compiled.MatchString(text)
	}
}

func count(limit int64) check {
	return func(value any) bool {
		number, ok := value.(int64)
		return ok && number >= 0 && number <= limit
	}
}

func byteString(shortest, longest int) check {
	return func(value any) bool {
		data, ok := value.([]byte)
		return ok && len(data) >= shortest && len(data) <= longest
	}
}

// textUpTo limits the length in UTF-16 code units.
func textUpTo(longest int) check {
	return func(value any) bool {
		text, ok := value.(string)
		return ok && len(utf16.Encode([]rune(text))) <= longest
	}
}

func orNull(check check) check {
	return func(value any) bool { return value == nil || check(value) }
}

func listOf(item check, longest int) check {
	return func(value any) bool {
		list, ok := value.([]any)
		if !ok || len(list) > longest {
			return false
		}
		for _, each := range list {
			if !item(each) {
				return false
			}
		}
		return true
	}
}

func mapOf(fields map[string]check) check {
	return func(value any) bool {
		fieldsOf, ok := value.(message)
		if !ok || len(fieldsOf) != len(fields) {
			return false
		}
		for name, check := range fields {
			field, present := fieldsOf[name]
			if !present || !check(field) {
				return false
			}
		}
		return true
	}
}

func isBool(value any) bool {
	_, ok := value.(bool)
	return ok
}

func isDocument(value any) bool {
	_, ok := value.(message)
	return ok
}

var (
	isHash    = matches("sha256:[0-9a-f]{64}")
	isJobID   = matches("job_[a-z2-7]{26}")
	isToken   = matches("[0-9a-f]{64}")
	isVersion = matches(`0\.2`)
	isCount   = count(maxSafeInteger)
	isBlob    = mapOf(map[string]check{"hash": isHash, "size": isCount})
	isNeed    = listOf(mapOf(map[string]check{"hash": isHash, "offset": isCount}), 16386)
	isData    = byteString(0, 65536)
)

func messageOf(name string, fields map[string]check) check {
	fields["type"] = matches(name)
	return mapOf(fields)
}

// messageChecks has the fields of each message.
var messageChecks = map[string]check{
	"offer": messageOf("offer", map[string]check{
		"version": isVersion, "manifest": isDocument, "manifest_hash": isHash, "nonce": isToken,
		"module": isBlob, "stdin": isBlob, "stdin_data": orNull(byteString(1, 16384)),
		"inputs": listOf(isBlob, 16385), "begin": isBool, "age_ms": isCount, "expires_at": isCount,
	}),
	"attach": messageOf("attach", map[string]check{
		"version": isVersion, "job_id": isJobID, "secret": isToken, "node_nonce": isToken, "after": isCount,
	}),
	"cancel": messageOf("cancel", map[string]check{
		"version": isVersion, "job_id": isJobID, "secret": isToken, "node_nonce": isToken,
	}),
	"accept": messageOf("accept", map[string]check{
		"version": isVersion, "job_id": isJobID, "secret": isToken, "node_nonce": isToken, "nonce": isToken,
		"manifest_hash": isHash, "need": isNeed, "begun": isBool, "position": isCount, "keeps_ms": isCount,
		"expires_in_ms": isCount,
	}),
	"attached": messageOf("attached", map[string]check{
		"job_id": isJobID, "nonce": isToken, "state": matches("transfer|begun"), "need": isNeed,
	}),
	"reject": messageOf("reject", map[string]check{"error": isDocument}),
	"chunk": messageOf("chunk", map[string]check{
		"hash": isHash, "offset": isCount, "data": byteString(1, 130048), "checksum": count(math.MaxUint32),
	}),
	"begin": messageOf("begin", map[string]check{"job_id": isJobID, "node_nonce": isToken}),
	"event": messageOf("event", map[string]check{"id": isCount, "at": isCount, "body": isDocument}),
	"alive": messageOf("alive", map[string]check{}),
	"taken": messageOf("taken", map[string]check{"job_id": isJobID}),
}

func eventOf(name string, fields map[string]check) check {
	fields["event"] = matches(name)
	return mapOf(fields)
}

// eventChecks has the fields of each event's body.
var eventChecks = map[string]check{
	"queued":      eventOf("queued", map[string]check{"position": isCount}),
	"started":     eventOf("started", map[string]check{"attempt": isCount}),
	"stdout":      eventOf("stdout", map[string]check{"offset": isCount, "data": isData}),
	"stderr":      eventOf("stderr", map[string]check{"offset": isCount, "data": isData}),
	"files":       eventOf("files", map[string]check{"offset": isCount, "data": isData}),
	"interrupted": eventOf("interrupted", map[string]check{"rerun": isBool}),
	"finished": eventOf("finished", map[string]check{
		"receipt": isDocument, "message": orNull(textUpTo(1000)),
		"stack": listOf(count(math.MaxUint32), 20), "left_behind": orNull(mapOf(map[string]check{
			"entries": listOf(mapOf(map[string]check{
				"path": textUpTo(1024), "bytes": isCount, "kind": matches("file|directory|link"),
			}), 32),
			"more": isCount,
		})),
	}),
	"failed": eventOf("failed", map[string]check{"error": isDocument}),
}

// checkMessage checks the fields of a message and of the event in it.
func checkMessage(value message) error {
	kind, _ := value["type"].(string)
	check, known := messageChecks[kind]
	if !known || !check(value) {
		return fmt.Errorf("a message of type %q is invalid", kind)
	}
	if kind != "event" {
		return nil
	}
	body := value["body"].(message)
	name, _ := body["event"].(string)
	if check, known := eventChecks[name]; !known || !check(body) {
		return fmt.Errorf("an event %q is invalid", name)
	}
	return nil
}

// fromJSON converts a message of the vectors: {"$bytes": HEX} is a byte string.
func fromJSON(value any) (any, error) {
	switch value := value.(type) {
	case float64:
		return int64(value), nil
	case []any:
		for at, item := range value {
			converted, err := fromJSON(item)
			if err != nil {
				return nil, err
			}
			value[at] = converted
		}
	case message:
		if text, ok := value["$bytes"].(string); ok && len(value) == 1 {
			return hex.DecodeString(text)
		}
		for name, item := range value {
			converted, err := fromJSON(item)
			if err != nil {
				return nil, err
			}
			value[name] = converted
		}
	}
	return value, nil
}
