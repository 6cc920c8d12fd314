package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"

	"eventshop.example/ops/operators"
)

// document is the part of a dead letter that an operator may repair, as an editor shows it. A missing
// field stays unchanged.
type document struct {
	Key           *string            `json:"key,omitempty"`
	KeyBase64     *string            `json:"keyBase64,omitempty"`
	Headers       []operators.Header `json:"headers,omitzero"`  // all of them; an empty list removes all
	Payload       json.RawMessage    `json:"payload,omitempty"` // decoded
	PayloadBase64 *string            `json:"payloadBase64,omitempty"`
}

// into makes the document's fields those of an edit.
func (d document) into(e *operators.Edit) {
	e.Key, e.KeyBase64, e.Payload, e.PayloadBase64 = d.Key, d.KeyBase64, d.Payload, d.PayloadBase64
	if d.Headers != nil {
		e.Headers = &d.Headers
	}
}

// present returns the document of a dead letter: its present record.
func present(d operators.Detail) document {
	r := document{Headers: d.Headers, Payload: d.Payload}
	if d.KeyBase64 != "" {
		r.KeyBase64 = &d.KeyBase64
	} else {
		key := d.KeyText()
		r.Key = &key
	}
	if len(d.Payload) == 0 {
		r.PayloadBase64 = d.PayloadBase64
	}
	if d.EditedRecord != nil {
		e := repaired(d.EditedRecord)
		if e.Key != nil || e.KeyBase64 != nil {
			r.Key, r.KeyBase64 = e.Key, e.KeyBase64
		}
		if e.Headers != nil {
			r.Headers = e.Headers
		}
		if len(e.Payload) > 0 || e.PayloadBase64 != nil {
			r.Payload, r.PayloadBase64 = e.Payload, e.PayloadBase64
		}
		if len(r.Payload) > 0 {
			r.PayloadBase64 = nil // the payload contains it
		}
	}
	return r
}

// repaired returns the document of a repaired record.
func repaired(r *operators.Record) document {
	d := document{Key: r.Key, Headers: r.Headers, Payload: r.Payload, PayloadBase64: r.PayloadBase64}
	if r.KeyBase64 != "" {
		d.KeyBase64 = &r.KeyBase64
	}
	return d
}

// parseDocument parses the document of an edit. It refuses unknown fields: they are typing errors,
// and would otherwise change nothing without an error.
func parseDocument(b []byte) (document, error) {
	var r document
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

// changed returns the fields of a document that differ from the original.
func changed(before, after document) document {
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

// sameJSON compares without regard to white space. It compares numbers as text, so that no digits
// are lost.
func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
