package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode/utf16"

	"filippo.io/edwards25519"
	"github.com/gowebpki/jcs"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

const timestampFormat = "2006-01-02T15:04:05.000Z"

// canonical returns the RFC 8785 JSON of a document.
func canonical(document any) ([]byte, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(text)
}

// hashOf returns the hash of content as documents write it.
func hashOf(content []byte) string {
	digest := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(digest[:])
}

// without returns a copy of a document that lacks some fields.
func without(document message, names ...string) message {
	copied := message{}
	for name, value := range document {
		copied[name] = value
	}
	for _, name := range names {
		delete(copied, name)
	}
	return copied
}

// isSmallOrNonCanonical reports whether the encoding of a point is refused.
func isSmallOrNonCanonical(encoded []byte) bool {
	point, err := new(edwards25519.Point).SetBytes(encoded)
	if err != nil || !bytes.Equal(point.Bytes(), encoded) {
		return true
	}
	return new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1
}

// verifySignature applies the rule of "Signatures". Go's own check is the equation without the cofactor, with S below the
// order of the group.
func verifySignature(keyHex, signatureHex string, signed []byte) error {
	key, err := hex.DecodeString(keyHex)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return errors.New("the public key is invalid")
	}
	signature, err := hex.DecodeString(signatureHex)
	if err != nil || len(signature) != ed25519.SignatureSize || strings.ToLower(signatureHex) != signatureHex {
		return errors.New("the signature is malformed")
	}
	if isSmallOrNonCanonical(key) || isSmallOrNonCanonical(signature[:32]) ||
		!ed25519.Verify(key, signed, signature) {
		return errors.New("the signature is not valid")
	}
	return nil
}

// checkPeerID checks that a peer id follows from a public key.
func checkPeerID(id, keyHex string) error {
	key, err := hex.DecodeString(keyHex)
	if err != nil {
		return err
	}
	public, err := crypto.UnmarshalEd25519PublicKey(key)
	if err != nil {
		return err
	}
	derived, err := peer.IDFromPublicKey(public)
	if err != nil {
		return err
	}
	if derived.String() != id {
		return errors.New("the peer id does not follow from the public key")
	}
	return nil
}

// field returns a field of a document, by its path; nil if there is none.
func field(document any, path ...string) any {
	for _, name := range path {
		fields, ok := document.(message)
		if !ok {
			return nil
		}
		document = fields[name]
	}
	return document
}

func text(document any, path ...string) string {
	value, _ := field(document, path...).(string)
	return value
}

// number returns an integer of a decoded message or of JSON; -1 if there is none.
func number(document any, path ...string) int64 {
	switch value := field(document, path...).(type) {
	case int64:
		return value
	case float64:
		return int64(value)
	}
	return -1
}

// verifyCapability checks a capability document against the peer that sent it.
func verifyCapability(document message, sender peer.ID, now time.Time) error {
	id, key := text(document, "node", "peer_id"), text(document, "node", "public_key")
	if text(document, "version") != "0.1" {
		return errors.New("the document is of another version")
	}
	if err := checkPeerID(id, key); err != nil {
		return err
	}
	if id != sender.String() {
		return errors.New("the document is another peer's")
	}
	unsigned, err := canonical(without(document, "signature"))
	if err != nil {
		return err
	}
	signed := append([]byte("plasm-capability-v0.1\n"), unsigned...)
	if err := verifySignature(key, text(document, "signature"), signed); err != nil {
		return err
	}
	issued, err := time.Parse(timestampFormat, text(document, "issued_at"))
	if err != nil {
		return err
	}
	expires, err := time.Parse(timestampFormat, text(document, "expires_at"))
	if err != nil {
		return err
	}
	switch {
	case issued.After(now.Add(2 * time.Minute)):
		return errors.New("the document was issued in the future")
	case !expires.After(now):
		return errors.New("the document has expired")
	case expires.Sub(issued) > 24*time.Hour:
		return errors.New("the document is valid for too long")
	}
	return nil
}

// attestedBytes returns the DSSE v1 pre-authentication encoding of the claim's statement.
func attestedBytes(claim message) ([]byte, error) {
	subject := func(name string, measured any) message {
		digest := strings.TrimPrefix(text(measured, "hash"), "sha256:")
		return message{"name": name, "digest": message{"sha256": digest}}
	}
	subjects := []any{subject("stdout", claim["stdout"]), subject("stderr", claim["stderr"])}
	outputs, _ := claim["outputs"].(message)
	for _, path := range sortedPaths(outputs) {
		subjects = append(subjects, subject(path, outputs[path]))
	}
	payload, err := canonical(message{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       subjects,
		"predicateType": "urn:plasm:execution:v0.2",
		"predicate":     claim,
	})
	if err != nil {
		return nil, err
	}
	const payloadType = "application/vnd.in-toto+json"
	header := fmt.Sprintf("DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload))
	return append([]byte(header), payload...), nil
}

// sortedPaths sorts by UTF-16 code units, as RFC 8785 does.
func sortedPaths(outputs message) []string {
	paths := make([]string, 0, len(outputs))
	for path := range outputs {
		paths = append(paths, path)
	}
	sort.Slice(paths, func(i, j int) bool {
		a, b := utf16.Encode([]rune(paths[i])), utf16.Encode([]rune(paths[j]))
		for at := 0; at < len(a) && at < len(b); at++ {
			if a[at] != b[at] {
				return a[at] < b[at]
			}
		}
		return len(a) < len(b)
	})
	return paths
}

// verifySignatures checks both signatures of a receipt and the hash of its claim.
func verifySignatures(receipt message) error {
	claim, _ := receipt["claim"].(message)
	key := text(receipt, "run", "node", "public_key")
	if err := checkPeerID(text(receipt, "run", "node", "peer_id"), key); err != nil {
		return err
	}
	claimText, err := canonical(claim)
	if err != nil {
		return err
	}
	if hashOf(claimText) != text(receipt, "run", "claim_hash") {
		return errors.New("claim_hash is not that of the claim")
	}
	unsigned, err := canonical(without(receipt, "signature", "attestation"))
	if err != nil {
		return err
	}
	signed := append([]byte("plasm-receipt-v0.2\n"), unsigned...)
	if err := verifySignature(key, text(receipt, "signature"), signed); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	attested, err := attestedBytes(claim)
	if err != nil {
		return err
	}
	if err := verifySignature(key, text(receipt, "attestation"), attested); err != nil {
		return fmt.Errorf("attestation: %w", err)
	}
	return nil
}
