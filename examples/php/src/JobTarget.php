<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;

/** Remote node, or several that must agree, to run a job on; any discovered nodes if none is named. */
final class JobTarget
{
    /**
     * @param string|null $peer        peer id, or a multiaddr that ends with one
     * @param string|null $arch        processor architecture, such as x86_64 or aarch64
     * @param int|null    $minMemoryMb minimum memory limit per job, in MiB
     * @param int|null    $attempts    maximum number of nodes to try; null: the daemon's default
     * @param int|null    $agree       number of nodes that must return the same claim, 2 to 16; null: one node runs the job
     * @param int|null    $nodes       number of nodes that start together, with $agree; null: $agree
     * @param bool|null   $sameNetwork whether several nodes may be in one network, with $agree; null: no
     */
    public function __construct(
        public readonly ?string $peer = null,
        public readonly ?string $arch = null,
        public readonly ?int $minMemoryMb = null,
        public readonly ?int $attempts = null,
        public readonly ?int $agree = null,
        public readonly ?int $nodes = null,
        public readonly ?bool $sameNetwork = null,
    ) {
    }

    /** Targets exactly this node: required by {@see JobResult::verifyFrom()}. */
    public static function node(FoundNode $node): self
    {
        return new self(peer: $node->peerId);
    }

    /** Targets nodes with distinct keys and networks, of which $agree must return the same claim. */
    public static function agree(int $agree, ?int $nodes = null, ?bool $sameNetwork = null): self
    {
        return new self(agree: $agree, nodes: $nodes, sameNetwork: $sameNetwork);
    }

    /**
     * Parses the API's job target.
     *
     * @throws PlasmException `protocol`
     */
    public static function fromFields(Fields $target): self
    {
        return new self(
            peer: $target->has('peer') ? $target->string('peer') : null,
            arch: $target->has('arch') ? $target->string('arch') : null,
            minMemoryMb: $target->has('min_memory_mb') ? $target->int('min_memory_mb') : null,
            attempts: $target->has('attempts') ? $target->int('attempts') : null,
            agree: $target->has('agree') ? $target->int('agree') : null,
            nodes: $target->has('nodes') ? $target->int('nodes') : null,
            sameNetwork: $target->has('same_network') ? $target->bool('same_network') : null,
        );
    }

    /** Encodes the API's job target; an object even if empty. */
    public function fields(): \stdClass
    {
        return (object) array_filter([
            'peer' => $this->peer,
            'arch' => $this->arch,
            'min_memory_mb' => $this->minMemoryMb,
            'attempts' => $this->attempts,
            'agree' => $this->agree,
            'nodes' => $this->nodes,
            'same_network' => $this->sameNetwork,
        ], static fn (mixed $value): bool => $value !== null);
    }
}
