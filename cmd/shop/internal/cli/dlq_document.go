package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"

	"eventshop.example/cmd/shop/internal/ops"
)

// parseDocument reads the document of an edit, strictly: a field that nobody knows is a
// typing error, and would otherwise change nothing without a word.
func parseDocument(b []byte) (ops.Record, error) {
	var r ops.Record
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return r, fmt.Errorf("not a document of an edit: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("not a document of an edit: there is something behind it")
	}
	switch {
	case r.Key != nil && r.KeyBase64 != nil:
		return r, errors.New("key and keyBase64: one of them, please")
	case len(r.Payload) > 0 && r.PayloadBase64 != nil:
		return r, errors.New("payload and payloadBase64: one of them, please")
	}
	for i, h := range r.Headers {
		if (h.Key == nil) == (h.KeyBase64 == nil) || h.Value != nil && h.ValueBase64 != nil {
			return r, fmt.Errorf(`headers[%d]: needs either "key" or "keyBase64", and has one of "value" and "valueBase64" at most`, i)
		}
	}
	return r, nil
}

// changed leaves of a document what differs from what was there.
func changed(before, after ops.Record) ops.Record {
	if reflect.DeepEqual(before.Key, after.Key) && reflect.DeepEqual(before.KeyBase64, after.KeyBase64) {
		after.Key, after.KeyBase64 = nil, nil
	}
	if reflect.DeepEqual(before.Headers, after.Headers) {
		after.Headers = nil
	}
	if sameJSON(before.Payload, after.Payload) {
		after.Payload = nil
	}
	if reflect.DeepEqual(before.PayloadBase64, after.PayloadBase64) {
		after.PayloadBase64 = nil
	}
	return after
}

// sameJSON compares without regard to white space. Numbers are compared as they are
// written, so that none loses digits.
func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
