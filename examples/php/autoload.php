<?php

declare(strict_types=1);

/*
 * Loads Plasm\* without Composer.
 */
spl_autoload_register(static function (string $class): void {
    if (!str_starts_with($class, 'Plasm\\')) {
        return;
    }
    $file = __DIR__ . '/src/' . strtr(substr($class, strlen('Plasm\\')), '\\', '/') . '.php';
    if (is_file($file)) {
        require $file;
    }
});
