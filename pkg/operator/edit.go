package operator

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
)

// EditDeadLetter handles PATCH /dead-letters/{id}.
func (a *api) EditDeadLetter(w http.ResponseWriter, r *http.Request, id operatorapi.ID, p operatorapi.EditDeadLetterParams) {
	a.respond(w, r)(a.edit(r, id, p))
}

func (a *api) edit(r *http.Request, text operatorapi.ID, p operatorapi.EditDeadLetterParams) (any, error) {
	ctx := r.Context()
	id, actor, err := subject(text, p.XOperator)
	if err != nil {
		return nil, err
	}
	in, err := httpapi.Decode[operatorapi.Edit](r)
	if err != nil {
		return nil, err
	}
	before, err := a.Store.Get(ctx, a.Pool, id)
	if err != nil {
		return nil, err
	}
	e, err := a.editOf(ctx, in, before.Effective())
	if err != nil {
		return nil, err
	}
	d, err := a.Store.Edit(ctx, a.Pool, id, actor, e, in.DryRun)
	if err != nil {
		return nil, err
	}
	a.did(ctx, in.DryRun, "dead letter edited", id, actor, "note", in.Note)
	actions, err := a.Store.Actions(ctx, a.Pool, id)
	if err != nil {
		return nil, err
	}
	answer := a.detailOf(ctx, d, actions)
	answer.Warnings = a.warnings(ctx, d.Effective())
	return answer, nil
}

// editOf converts a request to the store's change of a record. Errors are those of
// Codec.EncodeJSON, and errs.Invalid with the field's name.
func (a *api) editOf(ctx context.Context, c operatorapi.Edit, r retry.Record) (e retry.Edit, err error) {
	e.Note = c.Note
	if e.Key, err = bytesOf("", "key", c.Key, c.KeyBase64); err != nil {
		return e, err
	}
	if c.Payload != nil && c.PayloadBase64 != nil {
		return e, errs.Field("payloadBase64", "must not be given beside payload")
	}
	if e.Value, err = bytesOf("", "payload", nil, c.PayloadBase64); err != nil {
		return e, err
	}
	if c.Headers != nil {
		if e.Headers, err = headersOf(*c.Headers); err != nil {
			return e, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.SetHeaders)) {
		e.Set = append(e.Set, event.Header{Key: name, Value: []byte(c.SetHeaders[name])})
	}
	if c.Payload != nil {
		value, err := a.encode(ctx, e.Apply(r), c.Payload)
		if err != nil {
			return e, err
		}
		e.Value = &value
	}
	return e, nil
}

// bytesOf returns the bytes of a text or of its base64; nil when neither is given. The two are the
// fields name and nameBase64 of the object at a path, which is "" or ends in a dot.
func bytesOf(path, name string, text, base *string) (*[]byte, error) {
	switch {
	case text != nil && base != nil:
		return nil, errs.Field(path+name+"Base64", "must not be given beside %s", name)
	case text != nil:
		b := []byte(*text)
		return &b, nil
	case base != nil:
		b, err := base64.StdEncoding.DecodeString(*base)
		if err != nil {
			return nil, errs.Field(path+name+"Base64", "must be base64")
		}
		return &b, nil
	}
	return nil, nil
}

// encode encodes a payload with the schema of the record's present bytes. When they do not identify
// a schema, or when it is that of another record than the event type in the headers, encode uses
// the newest schema of that type.
func (a *api) encode(ctx context.Context, r retry.Record, object []byte) ([]byte, error) {
	name := eventType(r.Headers)
	typ, known := a.Codec.Types().Lookup(name)
	var value []byte
	id, err := schema.SchemaID(r.Value)
	if err == nil {
		value, err = a.Codec.EncodeJSON(ctx, typ.Subject, id, object)
	}
	if errs.KindOf(err) == errs.Hopeless && known {
		value, err = a.Codec.EncodeJSON(ctx, typ.Subject, 0, object)
	}
	switch kind := errs.KindOf(err); {
	case err == nil:
		return value, nil
	case kind == errs.Hopeless && !known:
		return nil, errs.Field("payload", "cannot be encoded: neither the record's bytes nor its event type %q name a schema; set the header %s, or send payloadBase64",
			name, event.HeaderType)
	case kind == errs.Hopeless || kind == errs.NotFound:
		return nil, errs.Field("payload", "cannot be encoded: %v", err)
	case kind == errs.Invalid:
		return nil, within("payload", err)
	}
	return nil, err
}

// within adds the name of an object to the fields of err.
func within(object string, err error) error {
	var all []error
	for _, f := range errs.Fields(err) {
		path := object
		if f.Field != "" {
			path += "." + f.Field
		}
		all = append(all, errs.Field(path, "%s", f.Detail))
	}
	if len(all) == 0 {
		return errs.Field(object, "%v", err)
	}
	return errors.Join(all...)
}

func eventType(headers []event.Header) string {
	for _, h := range headers {
		if h.Key == event.HeaderType {
			return string(h.Value)
		}
	}
	return ""
}

// warnings returns what would prevent a consumer from handling a record.
func (a *api) warnings(ctx context.Context, r retry.Record) []string {
	env, _, err := event.ReadEnvelope(r.Headers, r.Time)
	if err != nil {
		return []string{"it is still no event: " + err.Error()}
	}
	typ, ok := a.Codec.Types().Lookup(env.Type)
	switch {
	case !ok:
		return []string{"its event type " + env.Type + " is none this program knows: it would be ignored"}
	case typ.Topic != r.Topic:
		return []string{"a " + env.Type + " belongs on topic " + typ.Topic + ", not " + r.Topic}
	}
	decoded, err := a.Codec.DecodeAtOnce(ctx, typ, r.Value)
	switch {
	case errs.KindOf(err) == errs.Transient:
		return []string{"its payload could not be checked: " + err.Error()}
	case err != nil:
		return []string{"its payload still cannot be decoded: " + err.Error()}
	case decoded.AggregateKey() != string(r.Key):
		return []string{"its key is not the event's key " + decoded.AggregateKey()}
	}
	return nil
}
