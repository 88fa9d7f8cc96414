package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	answerLimit  = 30 * time.Second
	silenceLimit = 32 * time.Second
	offerValid   = 60 * time.Second
	clockSkew    = 5 * time.Minute
	chunkBytes   = 130048
	offeredStdin = 16384
)

// job is a module and its standard input.
type job struct {
	module, stdin []byte
}

// result is what a node returned for a job, verified.
type result struct {
	stdout, stderr []byte
	claim, receipt message
}

// runJob runs a job on a node and verifies the receipt.
func (c *client) runJob(ctx context.Context, node candidate, work job) (result, error) {
	stream, err := c.open(ctx, node.peer, jobProtocol)
	if err != nil {
		return result{}, err
	}
	defer stream.Reset()
	conversation := &conversation{frames: newFrames(stream), deadline: stream.SetReadDeadline}
	offer, err := makeOffer(work, time.Now())
	if err != nil {
		return result{}, err
	}
	sent := time.Now()
	if err := conversation.write(offer); err != nil {
		return result{}, err
	}
	accept, err := conversation.read(answerLimit, "accept")
	if err != nil {
		return result{}, err
	}
	if err := checkAccept(accept, offer); err != nil {
		return result{}, err
	}
	if accept["begun"] == false {
		if err := conversation.transfer(accept, offer, work); err != nil {
			return result{}, err
		}
	}
	got, err := conversation.events()
	if err != nil {
		return result{}, err
	}
	err = verifyResult(got, node, accept, offer, sent)
	if err != nil {
		return result{}, err
	}
	taken := message{"type": "taken", "job_id": accept["job_id"]}
	if err := conversation.write(taken); err != nil {
		return result{}, err
	}
	return got, stream.CloseWrite()
}

func blob(content []byte) message {
	return message{"hash": hashOf(content), "size": int64(len(content))}
}

// makeOffer creates the offer of a job without input files.
func makeOffer(work job, now time.Time) (message, error) {
	manifest := message{
		"version": "0.2", "module_hash": hashOf(work.module),
		"resources": message{"cpu_cores": int64(1), "memory_mb": int64(256), "timeout_seconds": int64(60)},
		"args":      []any{}, "env": message{}, "capabilities": []any{},
		"priority": "normal", "idempotent": false,
	}
	canonicalManifest, err := canonical(manifest)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, 32)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	var stdinData any
	if len(work.stdin) > 0 && len(work.stdin) <= offeredStdin {
		stdinData = work.stdin
	}
	return message{
		"type": "offer", "version": "0.2", "manifest": manifest,
		"manifest_hash": hashOf(canonicalManifest), "nonce": hex.EncodeToString(nonce),
		"module": blob(work.module), "stdin": blob(work.stdin), "stdin_data": stdinData,
		"inputs": []any{}, "begin": len(work.stdin) <= offeredStdin, "age_ms": int64(0),
		"expires_at": now.Add(offerValid).UnixMilli(),
	}, nil
}

// checkAccept checks that an acceptance answers an offer.
func checkAccept(accept, offer message) error {
	if accept["nonce"] != offer["nonce"] || accept["manifest_hash"] != offer["manifest_hash"] {
		return errors.New("the node accepted another offer")
	}
	need := accept["need"].([]any)
	if accept["begun"] == true && (offer["begin"] == false || len(need) > 0) {
		return errors.New("the node began the job without permission")
	}
	sizes := map[string]int64{}
	for _, name := range []string{"module", "stdin"} {
		sizes[text(offer, name, "hash")] = number(offer, name, "size")
	}
	for _, item := range need {
		size, offered := sizes[text(item, "hash")]
		if !offered || number(item, "offset") >= size {
			return errors.New("the node needs content that was not offered")
		}
		delete(sizes, text(item, "hash"))
	}
	return nil
}

// conversation is one stream of the job protocol.
type conversation struct {
	*frames
	deadline func(time.Time) error
}

// largest is the largest frame body that a node sends: an event.
const largest = 8406016

// read reads a message of one of the types; a reject is an error.
func (c *conversation) read(limit time.Duration, types ...string) (message, error) {
	if err := c.deadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	value, err := c.frames.read(largest)
	if err != nil {
		return nil, err
	}
	if err := checkMessage(value); err != nil {
		return nil, err
	}
	if value["type"] == "reject" {
		return nil, fmt.Errorf("%s: %s", text(value, "error", "code"), text(value, "error", "message"))
	}
	for _, expected := range types {
		if value["type"] == expected {
			return value, nil
		}
	}
	return nil, fmt.Errorf("a message %q is out of order", value["type"])
}

// transfer sends what the node needs and begins the job.
func (c *conversation) transfer(accept, offer message, work job) error {
	for _, item := range accept["need"].([]any) {
		content := work.module
		if text(item, "hash") == text(offer, "stdin", "hash") {
			content = work.stdin
		}
		for offset := number(item, "offset"); offset < int64(len(content)); offset += chunkBytes {
			data := content[offset:min(offset+chunkBytes, int64(len(content)))]
			err := c.write(message{
				"type": "chunk", "hash": text(item, "hash"), "offset": offset, "data": data,
				"checksum": int64(crc32.ChecksumIEEE(data)),
			})
			if err != nil {
				return err
			}
		}
	}
	return c.write(message{
		"type": "begin", "job_id": accept["job_id"], "node_nonce": accept["node_nonce"],
	})
}

// events reads events until the last one.
func (c *conversation) events() (result, error) {
	var got result
	for {
		value, err := c.read(silenceLimit, "event", "alive")
		if err != nil {
			return got, err
		}
		if value["type"] == "alive" {
			continue
		}
		body := value["body"].(message)
		switch body["event"] {
		case "stdout":
			err = appendOutput(&got.stdout, body)
		case "stderr":
			err = appendOutput(&got.stderr, body)
		case "interrupted":
			if body["rerun"] == false {
				err = errors.New("the job was interrupted")
			}
			got = result{}
		case "failed":
			err = fmt.Errorf("%s: %s", text(body, "error", "code"), text(body, "error", "message"))
		case "finished":
			got.receipt = body["receipt"].(message)
			got.claim, _ = got.receipt["claim"].(message)
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

func appendOutput(output *[]byte, body message) error {
	if number(body, "offset") != int64(len(*output)) {
		return errors.New("a piece of output is out of order")
	}
	*output = append(*output, body["data"].([]byte)...)
	return nil
}

// verifyResult checks the receipt against what was sent and received.
func verifyResult(got result, node candidate, accept, offer message, sent time.Time) error {
	if err := verifySignatures(got.receipt); err != nil {
		return err
	}
	id, err := peer.Decode(text(got.receipt, "run", "node", "peer_id"))
	if err != nil || id != node.peer {
		return errors.New("the receipt is another node's")
	}
	claim, run := got.claim, got.receipt["run"]
	equal := map[string][2]any{
		"version":        {got.receipt["version"], "0.2"},
		"claim.version":  {claim["version"], "0.2"},
		"nonce":          {field(run, "nonce"), offer["nonce"]},
		"job_id":         {field(run, "job_id"), accept["job_id"]},
		"manifest_hash":  {claim["manifest_hash"], offer["manifest_hash"]},
		"module_hash":    {claim["module_hash"], field(offer, "module", "hash")},
		"stdin_hash":     {claim["stdin_hash"], field(offer, "stdin", "hash")},
		"profile":        {claim["profile"], "default"},
		"stdout.hash":    {field(claim, "stdout", "hash"), hashOf(got.stdout)},
		"stdout.bytes":   {number(claim, "stdout", "bytes"), int64(len(got.stdout))},
		"stderr.hash":    {field(claim, "stderr", "hash"), hashOf(got.stderr)},
		"stderr.bytes":   {number(claim, "stderr", "bytes"), int64(len(got.stderr))},
		"fuel":           {claim["fuel"], nil},
		"outputs":        {fmt.Sprint(claim["outputs"]), "map[]"},
		"runtime.engine": {field(run, "runtime", "engine"), field(node.document, "runtime", "engine")},
		"runtime.arch":   {field(run, "runtime", "arch"), field(node.document, "runtime", "arch")},
	}
	for name, pair := range equal {
		if pair[0] != pair[1] {
			return fmt.Errorf("the receipt's %s is %v, expected %v", name, pair[0], pair[1])
		}
	}
	started, err := time.Parse(timestampFormat, text(run, "started_at"))
	if err != nil {
		return err
	}
	finished, err := time.Parse(timestampFormat, text(run, "finished_at"))
	if err != nil {
		return err
	}
	now := time.Now()
	wall := time.Duration(number(run, "usage", "wall_time_ms")) * time.Millisecond
	switch {
	case started.Before(sent.Add(-clockSkew)) || finished.After(now.Add(clockSkew)):
		return errors.New("the receipt's times are not those of this job")
	case finished.Before(started) || (finished.Sub(started)-wall).Abs() > time.Second:
		return errors.New("the receipt's times disagree")
	case wall > now.Sub(sent)+time.Second:
		return errors.New("the receipt's wall time is longer than the job took")
	}
	return nil
}
