package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

type messageVectors struct {
	Frames []struct {
		Name    string
		Message message
		Hex     string
	}
	Refused []struct {
		Name string
		Hex  string
	}
	Checksums []struct {
		Data     string
		Checksum uint32
	}
	Topics []struct {
		Topic     string
		Multihash string
		CID       string
	}
	Capability struct {
		Document message
	}
}

func readVectors(path string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

// checkVectors checks tests/vectors/messages.json.
func checkVectors(path string) error {
	var vectors messageVectors
	if err := readVectors(path, &vectors); err != nil {
		return err
	}
	for _, vector := range vectors.Frames {
		if err := checkFrame(vector.Message, vector.Hex); err != nil {
			return fmt.Errorf("frame %q: %w", vector.Name, err)
		}
	}
	for _, vector := range vectors.Refused {
		body, err := hex.DecodeString(vector.Hex)
		if err != nil {
			return err
		}
		decoded, err := decodeBody(body)
		if err == nil && checkMessage(decoded) == nil {
			return fmt.Errorf("accepted: %s", vector.Name)
		}
	}
	for _, vector := range vectors.Checksums {
		data, err := hex.DecodeString(vector.Data)
		if err != nil {
			return err
		}
		if sum := crc32.ChecksumIEEE(data); sum != vector.Checksum {
			return fmt.Errorf("checksum of %s is %d, expected %d", vector.Data, sum, vector.Checksum)
		}
	}
	for _, vector := range vectors.Topics {
		key, err := topicKey(vector.Topic)
		if err != nil {
			return err
		}
		if hex.EncodeToString(key.Hash()) != vector.Multihash || key.String() != vector.CID {
			return fmt.Errorf("key of %s is %x, expected %s", vector.Topic, key.Hash(), vector.Multihash)
		}
	}
	if err := checkCapabilityVector(vectors.Capability.Document); err != nil {
		return err
	}
	fmt.Printf("%d frames, %d refused, %d checksums, %d topics\n", len(vectors.Frames),
		len(vectors.Refused), len(vectors.Checksums), len(vectors.Topics))
	return nil
}

func checkFrame(value message, expected string) error {
	converted, err := fromJSON(value)
	if err != nil {
		return err
	}
	frame, err := encodeFrame(converted.(message))
	if err != nil {
		return err
	}
	if hex.EncodeToString(frame) != expected {
		return fmt.Errorf("encoded as %x", frame)
	}
	start := 1
	for frame[start-1] >= 0x80 {
		start++
	}
	decoded, err := decodeBody(frame[start:])
	if err != nil {
		return err
	}
	return checkMessage(decoded)
}

func checkCapabilityVector(document message) error {
	sender, err := peer.Decode(text(document, "node", "peer_id"))
	if err != nil {
		return err
	}
	issued, err := time.Parse(timestampFormat, text(document, "issued_at"))
	if err != nil {
		return err
	}
	if err := verifyCapability(document, sender, issued); err != nil {
		return fmt.Errorf("capability: %w", err)
	}
	if verifyCapability(document, sender, issued.Add(24*time.Hour)) == nil {
		return fmt.Errorf("an expired capability document was accepted")
	}
	document["cpu_cores"] = 1024
	if verifyCapability(document, sender, issued) == nil {
		return fmt.Errorf("a changed capability document was accepted")
	}
	return nil
}

// checkReceiptVectors checks the signatures of tests/vectors/receipt.json. Vectors that only a schema or other
// expectations refuse are those of other verifiers.
func checkReceiptVectors(path string) error {
	var vectors struct {
		Receipt message
		Refused []struct{ Name, Field, JSON string }
	}
	if err := readVectors(path, &vectors); err != nil {
		return err
	}
	if err := verifySignatures(vectors.Receipt); err != nil {
		return err
	}
	refused := 0
	for _, vector := range vectors.Refused {
		if vector.Field != "signature" && vector.Field != "attestation" {
			continue
		}
		var receipt message
		if json.Unmarshal([]byte(vector.JSON), &receipt) == nil && verifySignatures(receipt) == nil {
			return fmt.Errorf("accepted: %s", vector.Name)
		}
		refused++
	}
	fmt.Printf("1 receipt, %d refused\n", refused)
	return nil
}
